"""Crashes, full disks and many processes at once leave whole artifacts or none."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from modelmill_registry.blobs import make_folder
from modelmill_registry.errors import CommitAbandonedError
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import DiskFullError
from modelmill_service_kit.status import status_of
from registry_support.store_files import FolderOf, no_file_longer_than, read

_start: Barrier
"""In each of several processes: they all begin when all are there."""


def test_staging_is_swept_of_what_dead_processes_left(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    staging = tmp_path / "store" / "staging"
    (staging / "blob-old").write_bytes(b"x")
    make_folder(staging / "materialise-old" / "sub")
    (staging / "blob-new").write_bytes(b"x")
    for name in ("blob-old", "materialise-old"):
        os.utime(staging / name, (0, 0))

    folder_store.commit(folder_of({"a": b"1"}), kind="file", form="jsonl")

    assert [path.name for path in staging.iterdir()] == ["blob-new"]


def test_everything_is_on_the_disk_before_it_has_its_name_and_the_manifest_comes_last(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    named: list[Path] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        assert source.stat().st_ino in synced, f"{target} gets its name before its bytes are safe"
        assert all(path.parent.stat().st_ino in synced for path in named), "a name is not safe yet"
        named.append(target)
        synced.discard(target.parent.stat().st_ino)
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    folder = folder_of({"a": b"1", "b": b"2", "c/d": b"3"})
    manifest = folder_store.commit(folder, kind="file", form="jsonl")

    assert [path.suffix for path in named] == ["", "", "", ".json"]
    assert all(path.parent.stat().st_ino in synced for path in named)
    assert named[-1].stem == manifest.digest.removeprefix("sha256:")


def commit_and_make(root: Path, folder: Path) -> tuple[str, Any]:
    """What one of several processes that do the same at the same time has done."""
    _start.wait()
    store = FolderStore(root)
    manifest = store.commit(folder, kind="file", form="jsonl")
    return manifest.digest, read(store.materialise(manifest.digest))


def start_at(barrier: Barrier) -> None:
    global _start
    _start = barrier


def test_processes_that_commit_the_same_content_at_once_all_succeed(
    tmp_path: Path, folder_of: FolderOf
) -> None:
    tree = {f"part-{n}/content": bytes([n]) * 50_000 for n in range(20)}
    folder, root = folder_of(tree), tmp_path / "store"
    context = multiprocessing.get_context("spawn")
    start = (context.Barrier(3),)
    with ProcessPoolExecutor(3, context, initializer=start_at, initargs=start) as processes:
        running = [processes.submit(commit_and_make, root, folder) for _ in range(3)]
        outcomes = [each.result() for each in running]

    assert len({digest for digest, _ in outcomes}) == 1
    assert all(files == tree for _, files in outcomes)
    assert not list((tmp_path / "store" / "staging").iterdir())


@pytest.mark.parametrize("room", [0, 1000, 25_000], ids=["none", "manifest", "first file"])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing_to_see(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf, room: int
) -> None:
    tree = {"a": b"1" * 20_000, "b": b"2" * 30_000}
    folder = folder_of(tree)
    with no_file_longer_than(room), pytest.raises(DiskFullError) as caught:
        folder_store.commit(folder, kind="file", form="jsonl")

    assert caught.value.message == f"disk full on {tmp_path / 'store'}. Free space and repeat"
    assert status_of(caught.value).grpc.name == "RESOURCE_EXHAUSTED"
    assert not list((tmp_path / "store" / "manifests").iterdir())
    assert not list((tmp_path / "store" / "staging").iterdir())
    assert (
        read(
            folder_store.materialise(folder_store.commit(folder, kind="file", form="jsonl").digest)
        )
        == tree
    )


def test_a_disk_too_full_for_the_manifest_alone_leaves_nothing_to_see(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of({f"{number:03}": b"" for number in range(50)})
    with no_file_longer_than(500), pytest.raises(DiskFullError):
        folder_store.commit(folder, kind="file", form="jsonl")
    assert not list((tmp_path / "store" / "manifests").iterdir())
    assert not list((tmp_path / "store" / "staging").iterdir())


def test_a_folder_that_finds_no_space_is_not_half_made(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    manifest = folder_store.commit(folder_of({"a": b"1" * 9000}), kind="file", form="jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        with no_file_longer_than(5000), pytest.raises(DiskFullError):
            folder_store.materialise(manifest.digest)
    assert not list((tmp_path / "store" / "staging").iterdir())
    assert read(folder_store.materialise(manifest.digest)) == {"a": b"1" * 9000}


def test_an_abandoned_commit_ends_without_a_trace(
    folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of({"a": b"1"})
    folder_store.abandon()
    with pytest.raises(CommitAbandonedError):
        folder_store.commit(folder, kind="file", form="jsonl")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
