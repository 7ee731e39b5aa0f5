"""A location says which store is meant."""

from pathlib import Path

import pytest
from modelmill_registry.s3_store import S3Store
from modelmill_registry.store import FolderStore, open_store, store_of
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.settings import ServiceSettings
from registry_support.places import BucketPlace
from registry_support.store_files import FolderOf, read


def test_a_path_and_a_file_url_are_folders(tmp_path: Path, folder_of: FolderOf) -> None:
    folder = tmp_path / "with space"
    plain = open_store(str(folder), tmp_path / "cache")
    url = open_store(f"file://{str(folder).replace(' ', '%20')}", tmp_path / "cache")
    manifest = plain.commit(folder_of({"a": b"1"}), kind="file", form="jsonl")
    assert url.manifest(manifest.digest) == manifest
    assert isinstance(url, FolderStore)
    assert not (tmp_path / "cache").exists()


def test_a_bucket_with_a_prefix_is_what_a_service_is_told_to_use(
    bucket_place: BucketPlace, tmp_path: Path, folder_of: FolderOf
) -> None:
    settings = ServiceSettings(
        nats_url="nats://none",
        nats_token="none",
        service_secret="none",
        artifact_root=f"s3://{bucket_place.bucket}/{bucket_place.prefix}",
        artifact_cache=tmp_path / "cache",
    )
    store = store_of(settings)
    manifest = store.commit(folder_of({"a": b"1"}), kind="file", form="jsonl")

    assert isinstance(store, S3Store)
    assert bucket_place.open().verify(manifest.digest) == manifest
    made = store.materialise(manifest.digest)
    assert read(made) == {"a": b"1"}
    assert made.is_relative_to(settings.artifact_disk)


@pytest.mark.parametrize("location", ["gs://bucket/x", "s3://", "file://host/x", "http://x"])
def test_another_location_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(InvalidInputError, match="an artifact root is a folder"):
        open_store(location, tmp_path)
