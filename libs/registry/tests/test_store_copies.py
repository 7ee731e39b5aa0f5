"""Artifacts of a folder store: held while they are copied, and put back as they were."""

from pathlib import Path

import pytest
from hypothesis import given
from modelmill_registry.blobs import BlobFolder
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints, forget_checkpoints
from modelmill_registry.manifest import FileEntry
from modelmill_registry.store import FolderStore
from modelmill_registry.store_copies import PinnedStore, copy_content, pinned_store, put_back
from registry_support.store_files import TREES, few, flip, read, write


def nothing_is_there(_entry: FileEntry) -> bool:
    return False


def no_look(_bytes: int) -> None:
    """Nobody looks at the progress."""


def committed(store: FolderStore, folder: Path, content: bytes) -> str:
    write(folder, {"rows.jsonl": content})
    return store.commit(folder, kind="file", form="jsonl").digest


def saved(store: FolderStore, folder: Path, step: int) -> tuple[JobCheckpoints, str]:
    """A checkpoint of a job, and what saves and deletes its checkpoints."""
    write(folder / str(step), {"weights": b"=%d" % step})
    checkpoints = JobCheckpoints(store, "ftjob-1", 1)
    return checkpoints, checkpoints.commit(folder / str(step), step, form="lora", made_from={})


def copied(pinned: PinnedStore, folder: Path) -> BlobFolder:
    copy, staging = BlobFolder(folder), folder / "staging"
    staging.mkdir()
    for entry in pinned.contents.values():
        copy_content(pinned.path(entry), entry, copy, staging, no_look)
    return copy


@few
@given(tree=TREES)
def test_whatever_was_committed_comes_back_under_the_same_digests(
    tree: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    store = FolderStore(folder / "old")
    digest = store.commit(write(folder / "tree", tree), kind="file", form="any").digest
    _, checkpoint = saved(store, folder, 1)
    with pinned_store(folder / "old", nothing_is_there) as pinned:
        pinned.pin()
        put_back(copied(pinned, folder / "copy"), pinned.artifacts, folder / "new", no_look)

    again = FolderStore(folder / "new")
    assert again.verify(digest) == store.manifest(digest)
    assert read(again.materialise(digest)) == tree
    assert JobCheckpoints(again, "ftjob-1", 1).manifest(checkpoint).attributes["step"] == 1


def test_what_is_deleted_after_a_pin_is_copied_and_what_comes_after_it_is_pinned_next(
    tmp_path: Path,
) -> None:
    store = FolderStore(tmp_path / "old")
    checkpoints, first = saved(store, tmp_path, 1)
    gone = committed(store, tmp_path / "gone", b"=gone")
    with pinned_store(tmp_path / "old", nothing_is_there) as pinned:
        pinned.pin()
        _, second = saved(store, tmp_path, 2)
        checkpoints.keep_only([second])
        store.erase([gone])
        pinned.pin()
        forget_checkpoints(store, "ftjob-1")
        put_back(copied(pinned, tmp_path / "copy"), pinned.artifacts, tmp_path / "new", no_look)

    again = FolderStore(tmp_path / "new")
    held = JobCheckpoints(again, "ftjob-1", 1)
    assert {held.manifest(each).attributes["step"] for each in (first, second)} == {1, 2}
    assert again.verify(gone).digest == gone
    assert not any((tmp_path / "old" / "staging").glob("pinned-*"))


def test_contents_that_a_copy_has_are_not_pinned_and_count_once(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "old")
    for name in ("one", "two"):
        committed(store, tmp_path / name, b"=same")
    with pinned_store(tmp_path / "old", nothing_is_there) as pinned:
        pinned.pin()
        assert len(pinned.contents) == 2  # both have the same manifest, too
    with pinned_store(tmp_path / "old", lambda entry: entry.size == 5) as pinned:
        pinned.pin()
        assert [entry.size for entry in pinned.contents.values()] == [
            size for size in pinned.artifacts.values()
        ]


def test_a_manifest_that_lacks_a_content_is_corrupt(tmp_path: Path) -> None:
    digest = committed(FolderStore(tmp_path / "old"), tmp_path / "rows", b"=rows")
    [blob] = (file for file in (tmp_path / "old" / "blobs").rglob("*") if file.is_file())
    blob.unlink()
    with (
        pinned_store(tmp_path / "old", nothing_is_there) as pinned,
        pytest.raises(CorruptArtifactError, match=digest.removeprefix("sha256:")),
    ):
        pinned.pin()


def test_a_content_whose_bytes_changed_is_neither_copied_nor_put_back(tmp_path: Path) -> None:
    committed(FolderStore(tmp_path / "old"), tmp_path / "rows", b"=rows")
    with pinned_store(tmp_path / "old", nothing_is_there) as pinned:
        pinned.pin()
        copy = copied(pinned, tmp_path / "copy")
        [entry] = (each for each in pinned.contents.values() if each.path == "rows.jsonl")
        flip(copy.path(entry.sha256))
        with pytest.raises(CorruptArtifactError):
            put_back(copy, pinned.artifacts, tmp_path / "new", no_look)
        flip(pinned.path(entry))
        with pytest.raises(CorruptArtifactError):
            copy_content(pinned.path(entry), entry, copy, tmp_path / "copy" / "staging", no_look)
    assert not any((tmp_path / "copy" / "staging").iterdir())
    assert not any((tmp_path / "new" / "manifests").glob("*"))
