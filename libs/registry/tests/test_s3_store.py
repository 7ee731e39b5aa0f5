"""What only a store behind a server can get wrong: the way there, parts, the server's word."""

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from modelmill_registry.errors import CommitAbandonedError, CorruptArtifactError
from modelmill_registry.manifest import Manifest, blob_name
from modelmill_registry.s3_bucket import PART_BYTES, Bucket
from modelmill_service_kit.errors import InvalidInputError, UnavailableError
from registry_support.places import BucketPlace, FolderPlace, in_hours
from registry_support.store_files import FolderOf, read


class Raw(BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


LARGE = b"=large" * (PART_BYTES // 5)
"""Two parts."""


def requests_of(store: Any) -> list[str]:
    """Fills with the calls that the store makes from now on."""
    calls: list[str] = []
    store._bucket._client.meta.events.register(
        "before-send.s3", lambda request, **_: calls.append(request.method)
    )
    return calls


def test_a_bucket_has_the_names_and_bytes_of_a_folder(
    bucket_place: BucketPlace, folder_place: FolderPlace, folder_of: FolderOf
) -> None:
    folder = folder_of({"a": b"1", "b/c": b"2", "same": b"1"})
    for place in (bucket_place, folder_place):
        place.open().commit(folder, kind="model", form="x", attributes={"n": 1})
    assert bucket_place.names() == folder_place.names()
    for name in folder_place.names():
        assert bucket_place.read(name) == folder_place.read(name)


def test_a_large_file_goes_up_in_parts_and_is_not_sent_twice(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    folder = folder_of({"large": LARGE})
    store = bucket_place.open()
    manifest = store.commit(folder, kind="file", form="jsonl")
    blob = bucket_place.at(blob_name(manifest.files[0].sha256))
    attributes = bucket_place.client.head_object(**blob)
    assert attributes["ETag"].endswith('-2"')

    calls = requests_of(store)
    assert store.commit(folder, kind="file", form="jsonl") == manifest
    assert calls == ["HEAD", "PUT", "GET"]  # the PUT of the manifest finds it there
    assert read(store.materialise(manifest.digest)) == {"large": LARGE}


def test_a_server_that_gives_no_hashes_is_read_before_it_is_believed(
    bucket_place: BucketPlace, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder = bucket_place.open(), folder_of({"a": b"12345"})
    manifest = store.commit(folder, kind="file", form="jsonl")
    name = blob_name(manifest.files[0].sha256)
    bucket_place.write(name, b"12354")
    head = store._bucket._client.head_object

    def without_hash(**arguments: Any) -> dict[str, Any]:
        return {key: value for key, value in head(**arguments).items() if "SHA256" not in key}

    monkeypatch.setattr(store._bucket._client, "head_object", without_hash)
    store.commit(folder, kind="file", form="jsonl")
    assert bucket_place.read(name) == b"12345"


def test_a_server_without_conditional_writes_is_written_to_all_the_same(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    store = bucket_place.open()
    refused: list[str] = []

    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        if "If-None-Match" not in request.headers:
            return None
        refused.append(request.url)
        body = Raw(b"<Error><Code>NotImplemented</Code></Error>")
        return AWSResponse(request.url, 501, {}, body)

    store._bucket._client.meta.events.register("before-send.s3.PutObject", refuse)
    manifest = store.commit(folder_of({"a": b"1"}), kind="file", form="jsonl")
    assert store.verify(manifest.digest) == manifest
    assert len(refused) >= 2


def test_an_upload_that_is_abandoned_midway_leaves_nothing(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    store = bucket_place.open()
    client = store._bucket._client
    client.meta.events.register("before-send.s3.UploadPart", lambda **_: store.abandon())
    with pytest.raises(CommitAbandonedError):
        store.commit(folder_of({"large": LARGE}), kind="file", form="jsonl")

    assert bucket_place.names() == []
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket_place.bucket)
    assert list((bucket_place.cache / "staging").iterdir()) == []


def test_an_upload_torn_by_a_killed_process_is_no_artifact_and_is_swept(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    store, client = bucket_place.open(), bucket_place.client
    manifest = store.commit(folder_of({"a": b"1"}), kind="file", form="jsonl")
    at = bucket_place.at(blob_name("0" * 64))
    upload = client.create_multipart_upload(**at)["UploadId"]
    foreign = client.create_multipart_upload(Bucket=bucket_place.bucket, Key="somebody/else")
    client.upload_part(**at, UploadId=upload, PartNumber=1, Body=LARGE[:PART_BYTES])

    assert len(bucket_place.names()) == 2
    assert bucket_place.open(now=in_hours(25)).sweep().uploads == 1
    left = client.list_multipart_uploads(Bucket=bucket_place.bucket)["Uploads"]
    assert [upload["UploadId"] for upload in left] == [foreign["UploadId"]]
    assert store.verify(manifest.digest) == manifest


def test_committers_of_the_same_content_at_once_all_succeed(
    bucket_place: BucketPlace, folder_of: FolderOf, tmp_path: Path
) -> None:
    folder = folder_of({f"part-{n}": bytes([61, n]) * 50_000 for n in range(5)} | {"l": LARGE})
    barrier, committed = threading.Barrier(3), list[Manifest]()

    def commit(number: int) -> None:
        store = bucket_place.open(cache=tmp_path / f"machine-{number}")
        barrier.wait()
        committed.append(store.commit(folder, kind="file", form="jsonl"))

    threads = [threading.Thread(target=commit, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(committed) == 3
    assert len(set(committed)) == 1
    assert bucket_place.open().verify(committed[0].digest) == committed[0]


def test_an_old_orphan_that_a_commit_needs_becomes_young(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    folder = folder_of({"a": b"1"})
    manifest = bucket_place.open().commit(folder, kind="file", form="jsonl")
    store = bucket_place.open(now=in_hours(2))
    calls = requests_of(store)
    store.commit(folder, kind="file", form="jsonl")
    assert calls[:3] == ["HEAD", "PUT", "HEAD"]  # a copy onto itself: no bytes are sent
    assert store.verify(manifest.digest) == manifest


@pytest.mark.parametrize("endpoint", ["http://user:hunter2@127.0.0.1:9", "http://127.0.0.1:9"])
def test_a_server_that_is_away_is_one_clear_line_without_credentials(
    bucket_place: BucketPlace, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    store = bucket_place.open()
    asks: list[Callable[[], object]] = [
        lambda: store.commit(folder_of({"a": b"1"}), kind="file", form="jsonl"),
        lambda: store.materialise("sha256:" + "0" * 64),
    ]
    for ask in asks:
        with pytest.raises(UnavailableError) as caught:
            ask()
        assert caught.value.message == (
            f"artifact store {store._bucket.location}: http://127.0.0.1:9 does not answer. "
            "Start it, or correct AWS_ENDPOINT_URL"
        )


def test_an_address_that_is_none_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio")
    with pytest.raises(InvalidInputError, match="AWS_ENDPOINT_URL is not an address"):
        Bucket("bucket")


def test_a_missing_bucket_is_one_clear_line(s3_client: Any) -> None:
    bucket = Bucket("no-such-bucket")
    with pytest.raises(UnavailableError, match=r"has no such bucket. Make it"):
        bucket.put("x", b"1", replace=False)
    with pytest.raises(UnavailableError, match=r"has no such bucket. Make it"):
        bucket.chunks("x")
    with pytest.raises(UnavailableError, match=r"no name of a bucket. Correct the artifact root"):
        Bucket("not a name").head("x")


def test_what_was_fetched_is_served_while_the_server_is_away(
    bucket_place: BucketPlace, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {"a": b"1"}
    digest = bucket_place.open().commit(folder_of(tree), kind="file", form="jsonl").digest
    bucket_place.open().materialise(digest)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert read(bucket_place.open().materialise(digest)) == tree


def test_an_object_cut_short_is_found_on_read(
    bucket_place: BucketPlace, folder_of: FolderOf
) -> None:
    store = bucket_place.open()
    manifest = store.commit(folder_of({"a": b"12345"}), kind="file", form="jsonl")
    bucket_place.write(blob_name(manifest.files[0].sha256), b"1234")
    with pytest.raises(CorruptArtifactError, match="4 bytes instead of 5"):
        store.materialise(manifest.digest)
    assert list((bucket_place.cache / "staging").iterdir()) == []
