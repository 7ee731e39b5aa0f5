"""Folders that are kept: who makes them, and what a failure leaves."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmill_testkit.kept_folders import kept_for_runs


def kept_in(kept: Path, make: Callable[[Path], object], *inputs: Path) -> Path:
    return kept_for_runs(kept, "thing", make, inputs=inputs, packages=["pytest"])


def test_it_is_made_once_however_many_ask_for_it_at_once(tmp_path: Path) -> None:
    made: list[Path] = []
    second_came = threading.Event()

    def make(folder: Path) -> None:
        made.append(folder)
        if len(made) > 1:
            second_came.set()
        second_came.wait(0.3)
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text("whole")

    def ask() -> None:
        asked.append((kept_in(tmp_path, make) / "file").read_text())

    asked: list[str] = []
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["whole"] * 8
    assert len(made) == 1


def test_what_failed_is_tried_again_from_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise ValueError("no more space")

    with pytest.raises(ValueError, match="no more space"):
        kept_in(tmp_path, fail)
    folder = kept_in(tmp_path, lambda path: path.mkdir())
    assert list(folder.iterdir()) == []


def test_what_is_kept_is_made_anew_once_it_would_be_another(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("one")

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "file").write_text((source / "file").read_text() * 2)

    first = kept_in(tmp_path / "kept", make, source)
    made_at = first.stat().st_mtime_ns
    assert kept_in(tmp_path / "kept", make, source) == first
    assert first.stat().st_mtime_ns == made_at

    (source / "file").write_text("two")
    second = kept_in(tmp_path / "kept", make, source)
    assert (second / "file").read_text() == "twotwo"
    assert not first.exists()
