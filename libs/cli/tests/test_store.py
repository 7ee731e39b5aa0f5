"""`mill store sweep` deletes what is old and nobody names, and says how much that was."""

import time
from pathlib import Path

import pytest
from modelmill_cli.app import run_app
from modelmill_registry.store import FolderStore


def test_a_sweep_says_what_it_removed_and_leaves_what_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"orphan")
    store = FolderStore(tmp_path / "state" / "artifacts")
    orphan = store.commit(folder, kind="file", form="jsonl")
    (folder / "a").write_bytes(b"named")
    kept = store.commit(folder, kind="file", form="jsonl")
    hex_digest = orphan.digest.removeprefix("sha256:")
    (tmp_path / "state" / "artifacts" / "manifests" / f"{hex_digest}.json").unlink()

    sweep = ["--state", str(tmp_path / "state"), "store", "sweep"]
    assert run_app(sweep) == 0
    assert capsys.readouterr().out == "0 contents of 0 bytes, 0 unfinished uploads\n"
    a_day_later = time.time() + 25 * 3600
    monkeypatch.setattr("modelmill_registry.store.FolderStore", lambda root: at(root, a_day_later))
    assert run_app(sweep) == 0
    assert capsys.readouterr().out == "1 contents of 6 bytes, 0 unfinished uploads\n"
    assert store.verify(kept.digest) == kept


def at(root: Path, now: float) -> FolderStore:
    return FolderStore(root, now=lambda: now)


def test_a_location_that_is_no_store_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["store", "sweep", "gs://bucket"]) == 2
    assert "an artifact root is a folder" in capsys.readouterr().err
