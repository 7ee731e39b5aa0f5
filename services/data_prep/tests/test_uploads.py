"""Files that come in parts: kept over a restart, joined in the order given, made once."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill_data_prep.receive_upload import AddUploadPart, CancelUpload, CreateUpload
from modelmill_data_prep.uploads import KEPT_SECONDS, UPLOAD_SECONDS, UploadFolder
from modelmill_service_kit.errors import (
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    TooLargeError,
    UnavailableError,
)
from modelmill_service_kit.grpc_client import domain_errors

ROWS = [b'{"q": "one", "a": "1"}\n', b'{"q": "two", "a": "2"}\n', b'{"q": "three", "a": "3"}\n']
SIZE = sum(map(len, ROWS))


async def create(
    data_prep: Any, size: int = SIZE, *, tenant: str = "acme", filename: str = "rows.jsonl"
) -> pb.Upload:
    header = pb.UploadHeader(tenant=tenant, filename=filename, purpose="fine-tune")
    request = pb.CreateUploadRequest(header=header, size_bytes=size)
    with domain_errors():
        upload: pb.Upload = (await data_prep.stub.CreateUpload(request, timeout=60)).upload
    return upload


async def add(data_prep: Any, upload_id: str, content: bytes, *, tenant: str = "acme") -> str:
    header = pb.UploadPartHeader(tenant=tenant, upload_id=upload_id)
    requests = [pb.AddUploadPartRequest(header=header), pb.AddUploadPartRequest(chunk=content)]
    with domain_errors():
        part_id: str = (await data_prep.stub.AddUploadPart(iter(requests), timeout=60)).part_id
    return part_id


async def complete(
    data_prep: Any, upload_id: str, parts: Sequence[str], *, tenant: str = "acme", md5: str = ""
) -> pb.Upload:
    request = pb.CompleteUploadRequest(tenant=tenant, upload_id=upload_id, part_ids=parts, md5=md5)
    with domain_errors():
        upload: pb.Upload = (await data_prep.stub.CompleteUpload(request, timeout=60)).upload
    return upload


async def cancel(data_prep: Any, upload_id: str, *, tenant: str = "acme") -> pb.Upload:
    request = pb.CancelUploadRequest(tenant=tenant, upload_id=upload_id)
    with domain_errors():
        upload: pb.Upload = (await data_prep.stub.CancelUpload(request, timeout=60)).upload
    return upload


async def test_parts_are_joined_in_the_order_given_and_a_repeat_gives_the_same_file(
    data_prep: Any,
) -> None:
    upload = await create(data_prep)
    assert (upload.status, upload.expires_at) == ("pending", upload.created_at + 3600)
    third, first, again, second = [
        await add(data_prep, upload.upload_id, ROWS[number]) for number in (2, 0, 0, 1)
    ]
    md5 = hashlib.md5(b"".join(ROWS), usedforsecurity=False).hexdigest().upper()

    completed = await complete(data_prep, upload.upload_id, [again, second, third], md5=md5)
    repeated = await complete(data_prep, upload.upload_id, [again, second, third], md5=md5)

    assert completed.status == "completed"
    assert repeated == completed
    assert first not in (again, second, third)
    assert await data_prep.list_ids() == [completed.file.file_id]
    assert await data_prep.download(completed.file.file_id) == b"".join(ROWS)
    assert completed.file.filename == "rows.jsonl"
    assert parts_on_disk(data_prep) == []


async def test_an_upload_goes_on_after_a_restart_of_the_service(start_data_prep: Any) -> None:
    async with start_data_prep(role="serve") as data_prep:
        upload = await create(data_prep)
        parts = [await add(data_prep, upload.upload_id, row) for row in ROWS[:2]]

    async with start_data_prep(role="serve") as data_prep:
        parts.append(await add(data_prep, upload.upload_id, ROWS[2]))
        completed = await complete(data_prep, upload.upload_id, parts)

    async with start_data_prep(role="serve") as data_prep:
        assert await complete(data_prep, upload.upload_id, parts) == completed
        assert await data_prep.download(completed.file.file_id) == b"".join(ROWS)


async def test_a_file_that_was_made_before_a_crash_is_not_made_again(data_prep: Any) -> None:
    upload = await create(data_prep)
    parts = [await add(data_prep, upload.upload_id, row) for row in ROWS]
    record = folder_of(data_prep) / upload.upload_id / "record.json"
    before = record.read_bytes()
    completed = await complete(data_prep, upload.upload_id, parts)
    record.write_bytes(before)  # as if the process had died before it wrote this down

    assert await complete(data_prep, upload.upload_id, parts) == completed
    assert await data_prep.list_ids() == [completed.file.file_id]


async def test_what_does_not_fit_together_is_refused_and_may_be_mended(data_prep: Any) -> None:
    upload = await create(data_prep)
    parts = [await add(data_prep, upload.upload_id, row) for row in ROWS]
    other = await create(data_prep)
    foreign = await add(data_prep, other.upload_id, ROWS[0])

    for part_ids, md5, complaint in (
        ([], "", f"the parts have 0 bytes, the upload {SIZE}"),
        (parts[:2], "", "the parts have"),
        ([*parts[:2], parts[0]], "", "listed twice"),
        ([*parts[:2], foreign], "", f"no part '{foreign}'"),
        ([*parts[:2], "../../" + parts[2]], "", "no part"),
        (parts, "0" * 32, "md5"),
    ):
        with pytest.raises(InvalidInputError, match=complaint):
            await complete(data_prep, upload.upload_id, part_ids, md5=md5)
    assert await data_prep.list_ids() == []
    assert (await complete(data_prep, upload.upload_id, parts)).status == "completed"


async def test_the_joined_bytes_must_be_what_the_name_says(data_prep: Any) -> None:
    upload = await create(data_prep, 4, filename="rows.jsonl.gz")
    part = await add(data_prep, upload.upload_id, b"text")

    with pytest.raises(InvalidInputError, match=r"no \.gz file"):
        await complete(data_prep, upload.upload_id, [part])
    with pytest.raises(InvalidInputError, match="must end in"):
        await create(data_prep, 4, filename="rows.exe")
    with pytest.raises(InvalidInputError, match="above 0"):
        await create(data_prep, 0)
    with pytest.raises(TooLargeError):
        await create(data_prep, 1024**3 + 1)
    with pytest.raises(InvalidInputError, match="empty"):
        await add(data_prep, upload.upload_id, b"")


async def test_what_is_over_or_somebody_elses_is_not_found(data_prep: Any) -> None:
    upload = await create(data_prep)
    part = await add(data_prep, upload.upload_id, ROWS[0])
    for reading in (
        add(data_prep, upload.upload_id, b"x", tenant="rival"),
        complete(data_prep, upload.upload_id, [part], tenant="rival"),
        cancel(data_prep, upload.upload_id, tenant="rival"),
        cancel(data_prep, "upload_" + "0" * 32),
        cancel(data_prep, "../uploads"),
    ):
        with pytest.raises(NotFoundError):
            await reading

    assert (await cancel(data_prep, upload.upload_id)).status == "cancelled"
    assert parts_on_disk(data_prep) == []
    for reading in (
        add(data_prep, upload.upload_id, b"x"),
        complete(data_prep, upload.upload_id, [part]),
        cancel(data_prep, upload.upload_id),
    ):
        with pytest.raises(NotFoundError, match="is cancelled"):
            await reading


async def test_the_open_uploads_of_a_tenant_are_bounded(start_data_prep: Any) -> None:
    async with start_data_prep(role="serve", max_open_uploads=2) as data_prep:
        first = await create(data_prep)
        await create(data_prep)
        with pytest.raises(OverloadedError, match="2 uploads are open") as refused:
            await create(data_prep)
        assert refused.value.retry_after_seconds == 60
        assert await create(data_prep, tenant="rival")

        await cancel(data_prep, first.upload_id)
        assert await create(data_prep)


async def chunks(*pieces: bytes) -> Any:
    for piece in pieces:
        yield piece


async def test_an_upload_is_gone_an_hour_after_it_began(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    uploads = UploadFolder(tmp_path / "shelf", now=lambda: clock[0])
    begin = CreateUpload(uploads, max_bytes=1000, max_open=1, now=lambda: clock[0])
    add_part = AddUploadPart(uploads, max_parts_at_once=1, now=lambda: clock[0])
    header = pb.UploadHeader(tenant="acme", filename="a.jsonl")
    upload = await begin(header=header, size_bytes=3)

    clock[0] += UPLOAD_SECONDS - 1
    await add_part(tenant="acme", upload_id=upload.upload_id, chunks=chunks(b"{", b"}\n"))
    assert list((await uploads.parts(upload.upload_id)).values()) == [3]
    clock[0] += 1

    with pytest.raises(NotFoundError, match="is expired"):
        await add_part(tenant="acme", upload_id=upload.upload_id, chunks=chunks(b"{}\n"))
    with pytest.raises(NotFoundError, match="is expired"):
        await CancelUpload(uploads, now=lambda: clock[0])(tenant="acme", upload_id=upload.upload_id)
    await begin(header=header, size_bytes=3)  # the expired one is not counted, and swept
    assert await uploads.parts(upload.upload_id) == {}
    clock[0] += KEPT_SECONDS
    await uploads.pending()
    assert await uploads.get(upload.upload_id) is None


async def test_parts_that_come_in_at_a_time_are_bounded_for_all(tmp_path: Path) -> None:
    uploads, never = UploadFolder(tmp_path / "shelf"), asyncio.Event()
    begin = CreateUpload(uploads, max_bytes=1000, max_open=1)
    add_part = AddUploadPart(uploads, max_parts_at_once=1)
    ours, theirs = [
        await begin(header=pb.UploadHeader(tenant=each, filename="a.jsonl"), size_bytes=3)
        for each in ("acme", "rival")
    ]
    begun = asyncio.Event()

    async def stalled() -> Any:
        yield b"1"
        begun.set()
        await never.wait()

    adding = asyncio.create_task(
        add_part(tenant="acme", upload_id=ours.upload_id, chunks=stalled())
    )
    await begun.wait()
    with pytest.raises(UnavailableError, match="too many parts") as refused:
        await add_part(tenant="rival", upload_id=theirs.upload_id, chunks=chunks(b"1"))
    assert (refused.value.reason, refused.value.retry_after_seconds) == ("OVERLOADED", 5)

    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)
    assert await add_part(tenant="rival", upload_id=theirs.upload_id, chunks=chunks(b"1"))


async def test_parts_cannot_fill_the_disk(tmp_path: Path) -> None:
    uploads = UploadFolder(tmp_path / "shelf")
    begin = CreateUpload(uploads, max_bytes=1000, max_open=1)
    add_part = AddUploadPart(uploads, max_parts_at_once=1)
    upload = await begin(header=pb.UploadHeader(tenant="acme", filename="a.jsonl"), size_bytes=3)
    mebibyte = bytes(1024**2)

    with pytest.raises(InvalidInputError, match="the part is larger than 67108864 bytes"):
        await add_part(tenant="acme", upload_id=upload.upload_id, chunks=chunks(*[mebibyte] * 65))
    assert await uploads.parts(upload.upload_id) == {}
    await add_part(tenant="acme", upload_id=upload.upload_id, chunks=chunks(*[mebibyte] * 64))
    await add_part(tenant="acme", upload_id=upload.upload_id, chunks=chunks(b"123456", b"7"))
    with pytest.raises(InvalidInputError, match="more than twice"):
        await add_part(tenant="acme", upload_id=upload.upload_id, chunks=chunks(b"1"))


def folder_of(data_prep: Any) -> Path:
    folder: Path = data_prep.root / "work" / "uploads_in_parts"
    return folder


def parts_on_disk(data_prep: Any) -> list[Path]:
    return sorted(folder_of(data_prep).glob("*/*/part_*"))
