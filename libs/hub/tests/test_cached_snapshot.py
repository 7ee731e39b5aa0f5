"""What Hugging Face's cache has is taken as if it had been downloaded."""

import os
from pathlib import Path

import pytest
from modelmill_hub.cached_snapshot import CachedSnapshot
from modelmill_hub.errors import PickleOnlyError
from modelmill_service_kit.errors import InvalidInputError

COMMIT = "0" * 39 + "1"


def cached(tmp_path: Path, **contents: str) -> Path:
    """A snapshot of files, as `huggingface_hub` lays it out."""
    repository = tmp_path / "hub" / "models--org--tiny-model"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, (name, content) in enumerate(contents.items()):
        (blobs / str(number)).write_text(content)
        path = snapshot / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(os.path.relpath(blobs / str(number), path.parent))
    return snapshot


FILES = {
    "config.json": "{}",
    "model.safetensors": "weights",
    "pytorch_model.bin": "pickle",
    "run.py": "code",
    "additional_chat_templates__tool.jinja": "{{ it }}",
}


def test_the_files_of_a_model_lie_in_the_copy_without_links(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(cached(tmp_path, **FILES))
    snapshot = CachedSnapshot.at(link)
    assert snapshot is not None
    fetched = snapshot.plain_copy(tmp_path / "copy")

    files = [path for path in fetched.folder.rglob("*") if not path.is_dir()]
    assert {path.relative_to(fetched.folder).as_posix(): path.read_text() for path in files} == {
        "config.json": "{}",
        "model.safetensors": "weights",
        "additional_chat_templates/tool.jinja": "{{ it }}",
    }
    assert not any(path.is_symlink() for path in files)
    assert (fetched.name, fetched.form) == ("tiny-model", "model")
    assert fetched.origin == {"source": "hf://org/tiny-model", "revision": COMMIT}


def test_a_link_out_of_the_cache_is_refused(tmp_path: Path) -> None:
    folder = cached(tmp_path, **FILES)
    (folder / "LICENSE").symlink_to("/etc/passwd")
    snapshot = CachedSnapshot.at(folder)
    assert snapshot is not None
    with pytest.raises(InvalidInputError, match="LICENSE is a link out of the cache"):
        snapshot.plain_copy(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_pickles_alone_are_refused(tmp_path: Path) -> None:
    only = {name: FILES[name] for name in ("config.json", "pytorch_model.bin")}
    snapshot = CachedSnapshot.at(cached(tmp_path, **only))
    assert snapshot is not None
    with pytest.raises(PickleOnlyError):
        snapshot.plain_copy(tmp_path / "copy")


@pytest.mark.parametrize("path", ["model", "snapshots/x", "datasets--a--b/snapshots/x"])
def test_other_folders_are_no_snapshots(tmp_path: Path, path: str) -> None:
    folder = tmp_path / path
    folder.mkdir(parents=True)
    (folder.parents[1] / "blobs").mkdir(exist_ok=True)
    assert CachedSnapshot.at(folder) is None
