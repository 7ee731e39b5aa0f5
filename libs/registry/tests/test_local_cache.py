"""The cache of a server's artifacts: fetched once, bounded, and never taken from under a reader."""

from pathlib import Path
from typing import Any

import pytest
from modelmill_registry.local_cache import LocalCache
from modelmill_registry.materialised import in_use
from modelmill_registry.s3_store import S3Store
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import DiskFullError, PreconditionError
from registry_support.places import BucketPlace, in_hours
from registry_support.store_files import FolderOf, flip, no_file_longer_than, read

KILOBYTE = b"=" + bytes(1023)


def downloads_of(store: S3Store) -> list[str]:
    """Fills with the contents that the store downloads from now on."""
    names: list[str] = []
    bucket: Any = store._bucket
    chunks = bucket.chunks

    def recorded(name: str) -> Any:
        names.append(name.partition("/")[0])
        return chunks(name)

    bucket.chunks = recorded
    return names


def commit(place: BucketPlace, folder_of: FolderOf, number: int) -> str:
    tree = {"a": KILOBYTE + bytes([number])}
    return place.open().commit(folder_of(tree), kind="file", form="jsonl").digest


def made(place: BucketPlace) -> set[str]:
    """Digests of the artifacts that the cache has."""
    folders = (place.cache / "materialised").iterdir()
    return {f"sha256:{folder.name}" for folder in folders if folder.is_dir()}


def test_only_contents_that_are_not_there_are_downloaded(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    store = bucket_place.open()
    first = store.commit(folder_of({"a": b"1", "b": b"2"}), kind="file", form="jsonl").digest
    second = store.commit(folder_of({"a": b"1", "c": b"3"}), kind="file", form="jsonl").digest
    calls = downloads_of(store)

    folder = store.materialise(first)
    assert calls == ["manifests", "blobs", "blobs"]
    assert store.materialise(first) == folder
    assert calls == ["manifests", "blobs", "blobs"]
    assert read(store.materialise(second)) == {"a": b"1", "c": b"3"}
    assert calls == ["manifests", "blobs", "blobs", "manifests", "blobs"]
    assert (folder / "a").stat().st_mode & 0o222 == 0


def test_a_file_that_was_changed_on_this_machine_is_fetched_again(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    store = bucket_place.open()
    digest = store.commit(folder_of({"a": b"12345"}), kind="file", form="jsonl").digest
    flip(store.materialise(digest) / "a")
    assert read(store.materialise(digest)) == {"a": b"12345"}


def test_what_was_not_asked_for_the_longest_goes_first(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    first, second, third = (commit(bucket_place, folder_of, number) for number in range(3))
    room_for_two = bucket_place.open(cache_bytes=2100)
    room_for_two.materialise(first)
    room_for_two.materialise(second)
    room_for_two.materialise(first)

    bucket_place.open(cache_bytes=2100, now=in_hours(2)).materialise(third)

    assert made(bucket_place) == {first, third}
    assert len(list((bucket_place.cache / "blobs").rglob("*/*/*"))) == 2


def test_what_was_asked_for_within_the_hour_stays(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    first, second = (commit(bucket_place, folder_of, number) for number in range(2))
    small = bucket_place.open(cache_bytes=1100)
    small.materialise(first)
    small.materialise(second)
    assert made(bucket_place) == {first, second}


def test_what_is_in_use_stays_until_it_is_not(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    first, second, third = (commit(bucket_place, folder_of, number) for number in range(3))
    folder = bucket_place.open().materialise(first)
    later = bucket_place.open(cache_bytes=1100, now=in_hours(2))
    with in_use(folder):
        later.materialise(second)
        assert made(bucket_place) == {first, second}
    later.materialise(third)
    assert made(bucket_place) == {third}


def test_a_folder_that_was_removed_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), in_use(tmp_path / "gone"):
        pass
    assert not (tmp_path / "gone").exists()


def test_a_full_disk_is_one_clear_error_and_leaves_no_half(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    tree = {"a": b"=" * 9000}
    digest = bucket_place.open().commit(folder_of(tree), kind="file", form="jsonl").digest
    store = bucket_place.open()
    with no_file_longer_than(5000), pytest.raises(DiskFullError, match=str(bucket_place.cache)):
        store.materialise(digest)
    assert list((bucket_place.cache / "staging").iterdir()) == []
    assert read(store.materialise(digest)) == tree


def test_a_store_is_never_taken_for_a_cache(folder_store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="is an artifact store; a cache needs a folder"):
        LocalCache(tmp_path / "store")
    LocalCache(tmp_path / "cache")
    LocalCache(tmp_path / "cache")
