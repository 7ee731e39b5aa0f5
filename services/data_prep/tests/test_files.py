"""Files come in, are listed, and go out again as they came, to their tenant alone."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill_service_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually, once_available

HEADER = pb.UploadFileRequest(header=pb.UploadHeader(tenant="acme", filename="a.jsonl"))
CHUNK = pb.UploadFileRequest(chunk=b"{}\n")
END = pb.UploadFileRequest(end=pb.FileEnd())


async def test_a_file_is_listed_at_once_and_comes_back_as_it_was(data_prep: Any) -> None:
    content = b'{"q": "\xe5\xa5\xbd"}\r\n' * 50_000

    first = await data_prep.upload(content)
    second = await data_prep.upload(b"q,a\n1,2\n", filename="Rows.CSV")

    assert await data_prep.list_ids() == [second.file_id, first.file_id]
    assert (first.filename, first.purpose) == ("rows.jsonl", "fine-tune")
    assert first.size_bytes == len(content)
    assert data_prep.store.manifest(second.digest).form == "csv"
    assert await data_prep.get_file(first.file_id) == first
    assert await data_prep.download(first.file_id) == content


async def test_a_tenant_does_not_see_the_files_of_another(data_prep: Any) -> None:
    file = await data_prep.upload([{"q": "1", "a": "2"}], tenant="acme")

    assert await data_prep.list_ids(tenant="rival") == []
    for reading in (data_prep.get_file, data_prep.download, data_prep.create):
        with pytest.raises(NotFoundError, match=file.file_id):
            await reading(file.file_id, tenant="rival")


async def test_an_id_that_was_never_given_out_is_not_found(data_prep: Any) -> None:
    for file_id in ("file-0", "", "../content", "file.*", ">", "a b\r\nPUB x"):
        with pytest.raises(NotFoundError):
            await data_prep.get_file(file_id)


async def test_what_is_no_file_of_rows_is_refused(data_prep: Any) -> None:
    for content, filename, complaint in (
        (b"{}", "rows.json", "must end in .jsonl, .ndjson, .csv, .tsv, .txt"),
        (b"{}", "x" * 255 + ".jsonl", "at most 255"),
        (b"{}", "a\nb.jsonl", "printable"),
        (b"", "rows.jsonl", "rows.jsonl is empty"),
        ("q,a\n1,2\n".encode("utf-16"), "rows.jsonl", "no JSON rows"),
        (b"{}\n" + b"\0\1" * 9, "rows.jsonl", "not text: it has zero bytes"),
        (gzip.compress(b"\0" * 9), "rows.jsonl.gz", "not text: it has zero bytes"),
        (gzip.compress(gzip.compress(b"{}" * 99)), "rows.jsonl.gz", "not text"),
        (b"{}\n", "rows.jsonl.gz", "no .gz file"),
        (b"<html>\n<body>{}</body>", "rows.jsonl", "no JSON rows"),
        (b"#!/bin/sh\nrm -r /\n", "rows.jsonl", "no JSON rows"),
        (b"\xef\xbb\xbfq,a\n1,2\n", "rows.jsonl", "no JSON rows"),
        (gzip.compress(b"q,a\n1,2\n"), "rows.jsonl.gz", "no JSON rows"),
        (b"PK\x03\x04\x14\x01\x08\x08", "rows.jsonl", "a ZIP archive"),
        (b"%PDF-1.7\n{}\n", "rows.jsonl", "a PDF document"),
        (b"%PDF-1.7\n", "rows.txt", "a PDF document"),
        (b"\x7fELF\x02\x01\x01", "rows.csv", "a program"),
        (b"\x80\x04\x95\x20{}", "rows.jsonl", "a pickle"),
        (b"BZh91AY&SYabc", "rows.txt", "compressed by bzip2"),
        (b"a" * 257 + b"ustar  {}", "rows.txt", "a tar archive"),
        (gzip.compress(b"%PDF-1.7\n"), "rows.txt.gz", "a PDF document"),
        (gzip.compress(b"{}\n"), "rows.jsonl.zst", "no .zst file"),
        (gzip.compress(b"{}\n")[:12], "rows.jsonl.gz", "damaged"),
        (b"PAR1 and more", "rows.parquet", "no Parquet file"),
    ):
        with pytest.raises(InvalidInputError, match=complaint):
            await data_prep.upload(content, filename=filename)
    assert await data_prep.list_ids() == []


async def test_messages_that_are_no_file_are_refused(data_prep: Any) -> None:
    for requests, complaint in (
        ([], "header"),
        ([CHUNK], "header"),
        ([HEADER, HEADER], "chunk"),
        ([HEADER, CHUNK], "must carry the end"),
        ([HEADER, pb.UploadFileRequest(chunk=b"x" * (1024 * 1024 + 1))], "larger than 1048576"),
        ([pb.UploadFileRequest(header=pb.UploadHeader(tenant="a.*"))], "tenant"),
    ):
        with pytest.raises(InvalidInputError, match=complaint):
            await data_prep.upload_requests(requests)
    assert await data_prep.list_ids() == []


async def test_a_file_is_what_its_bytes_are_however_small_its_chunks_are_cut(
    data_prep: Any,
) -> None:
    for content in (b"%PDF-1.7\n{}\n", b"{}\n" + b"\0" * 9, b"<html>\n", b"PK\x03\x04{}"):
        pieces = [pb.UploadFileRequest(chunk=content[at : at + 1]) for at in range(len(content))]
        with pytest.raises(InvalidInputError, match=r"not text|no JSON rows"):
            await data_prep.upload_requests([HEADER, *pieces, END])
    kept = await data_prep.upload(b"not a row\n\n{}\n", filename="rows.jsonl")
    assert kept.size_bytes == 14
    for name in ("rows.txt", "rows.csv"):
        await data_prep.upload(b"BZhang and MZ wrote %PDF-\n", filename=name)


async def test_the_name_of_a_file_is_never_a_path(data_prep: Any) -> None:
    name = "../../../../evil.jsonl"
    before = {path.name for path in data_prep.root.parent.iterdir()}

    file = await data_prep.upload(b"{}\n", filename=name)

    assert file.filename == name
    assert list(data_prep.root.rglob("*evil*")) == []
    assert {path.name for path in data_prep.root.parent.iterdir()} == before


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(start_data_prep: Any) -> None:
    async with start_data_prep(role="serve", max_upload_bytes=1000) as data_prep:
        await data_prep.upload(b"{" * 1000)
        with pytest.raises(TooLargeError, match="larger than 1000 bytes"):
            await data_prep.upload(b"{" * 1001, chunk_bytes=100)
        assert list(uploads_of(data_prep).iterdir()) == []


async def test_uploads_at_a_time_are_bounded_and_an_abandoned_one_frees_its_place(
    start_data_prep: Any,
) -> None:
    async with start_data_prep(role="serve", max_uploads=1) as data_prep:
        never = asyncio.Event()

        async def stalled() -> AsyncIterator[pb.UploadFileRequest]:
            yield HEADER
            yield CHUNK
            await never.wait()

        async with open_channel(data_prep.address, data_prep.secret) as channel:
            upload = pb_grpc.DataPrepServiceStub(channel).UploadFile(stalled(), timeout=60)
            await eventually(lambda: list(uploads_of(data_prep).iterdir()))
            with pytest.raises(UnavailableError, match="too many uploads") as refused:
                await data_prep.upload(b"{}")
            # Full, not away: the caller is told when to come back, and is not blamed.
            assert (refused.value.reason, refused.value.retry_after_seconds) == ("OVERLOADED", 5)

            upload.cancel()

            await eventually(lambda: not list(uploads_of(data_prep).iterdir()))
        file = await data_prep.upload(b"{}")
        assert await data_prep.list_ids() == [file.file_id]


@pytest.mark.own_broker
async def test_without_the_broker_nothing_is_accepted(data_prep: Any) -> None:
    file = await data_prep.upload([{"q": "1", "a": "2"}])
    data_prep.nats.kill()

    with pytest.raises(UnavailableError):
        await data_prep.create(file.file_id)
    with pytest.raises(UnavailableError):
        await data_prep.upload(b"{}")
    assert await data_prep.list_ids() == [file.file_id]

    await data_prep.nats.start()
    assert await once_available(lambda: data_prep.create(file.file_id))


def uploads_of(data_prep: Any) -> Path:
    folder: Path = data_prep.root / "work" / "uploads"
    return folder


async def test_a_file_under_a_given_id_is_stored_once(data_prep: Any) -> None:
    header = pb.UploadHeader(
        tenant="acme", filename="a.jsonl", purpose="batch_output", file_id="file-given"
    )
    given = [pb.UploadFileRequest(header=header), CHUNK, END]
    file = await data_prep.upload_requests(given)
    with pytest.raises(AlreadyExistsError, match="file-given"):
        await data_prep.upload_requests(given)
    header.file_id = "../file"
    with pytest.raises(InvalidInputError):
        await data_prep.upload_requests([pb.UploadFileRequest(header=header), CHUNK, END])

    assert file.file_id == "file-given"
    assert await data_prep.list_ids() == ["file-given"]


async def test_requests_and_rows_of_evaluations_come_as_lines_of_json(data_prep: Any) -> None:
    for purpose in ("batch", "evals"):
        header = pb.UploadHeader(tenant="acme", filename="a.csv", purpose=purpose)
        complaint = f"must end in .jsonl for the purpose {purpose}"
        with pytest.raises(InvalidInputError, match=complaint):
            await data_prep.upload_requests([pb.UploadFileRequest(header=header), CHUNK, END])
