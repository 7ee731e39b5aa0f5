"""Files over gRPC: in and out in pieces."""

from collections.abc import AsyncIterator

import grpc
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import SECRET, House
from gateway_support.job_owners import MAX_FILE_BYTES, FakeDataPrep
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import (
    add_DataPrepServiceServicer_to_server,
)
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode
MIB = 1024 * 1024


def header(filename: str = "a.jsonl", purpose: str = "fine-tune") -> pb.UploadFileRequest:
    return pb.UploadFileRequest(header=pb.FileHeader(filename=filename, purpose=purpose))


def chunk(content: bytes) -> pb.UploadFileRequest:
    return pb.UploadFileRequest(chunk=content)


END = pb.UploadFileRequest(end=pb.FileEnd())


async def send(stub: GatewayServiceStub, *parts: pb.UploadFileRequest) -> FileState:
    """Upload a file."""
    return (await stub.UploadFile(iter((*parts, END)), timeout=CALL_SECONDS)).file


async def test_what_is_sent_in_pieces_comes_back_in_pieces(house: House):
    content = bytes(range(256)) * 10
    async with grpc_stub(house, tenant="pieces") as stub:
        file = await send(stub, header(), chunk(content[:1500]), chunk(content[1500:]))
        found = await stub.GetFile(pb.GetFileRequest(file_id=file.file_id), timeout=CALL_SECONDS)
        asked = pb.DownloadFileRequest(file_id=file.file_id)
        pieces = [answer.chunk async for answer in stub.DownloadFile(asked, timeout=CALL_SECONDS)]

    assert (file.tenant, file.filename, file.purpose) == ("pieces", "a.jsonl", "fine-tune")
    assert found.file == file
    assert len(pieces) == 3
    assert b"".join(pieces) == content


async def test_a_piece_is_passed_on_before_the_next_one_is_sent(house: House):
    sizes = house.data_prep.chunk_sizes
    before = len(sizes)

    async def one_by_one() -> AsyncIterator[pb.UploadFileRequest]:
        yield header()
        for number in range(3):
            yield chunk(b"x" * (number + 1))
            await eventually(lambda seen=before + number + 1: len(sizes) == seen)
        yield END

    async with grpc_stub(house) as stub:
        await stub.UploadFile(one_by_one(), timeout=CALL_SECONDS)
    assert sizes[before:] == [1, 2, 3]


async def test_a_client_that_leaves_in_the_middle_leaves_no_file(house: House):
    files = FakeDataPrep(JobQueue(house.bus), house.bus)
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    add_DataPrepServiceServicer_to_server(files, server.grpc)

    async def broken(number: int) -> AsyncIterator[pb.UploadFileRequest]:
        yield header()
        yield chunk(b"half")
        await eventually(lambda: len(files.chunk_sizes) > number)
        call.cancel()

    async with server:
        address = f"127.0.0.1:{server.port}"
        async with (
            another_gateway(house, data_prep_address=address) as other,
            grpc_stub(other.house) as stub,
        ):
            for number in range(20):
                call = stub.UploadFile(broken(number), timeout=CALL_SECONDS)
                assert await call.code() is Status.CANCELLED
            await send(stub, header("whole.jsonl"), chunk(b"x"))
            listed = await stub.ListFiles(pb.ListFilesRequest(), timeout=CALL_SECONDS)
    assert [file.filename for file in listed.files] == ["whole.jsonl"]


async def test_a_file_that_is_not_said_to_be_whole_is_not_stored(house: House):
    ceased = iter([header("half.jsonl"), chunk(b"half")])
    async with grpc_stub(house, tenant="ceases") as stub:
        async with refused(Status.INVALID_ARGUMENT, "last message must carry the end"):
            await stub.UploadFile(ceased, timeout=CALL_SECONDS)
        listed = await stub.ListFiles(pb.ListFilesRequest(), timeout=CALL_SECONDS)
    assert not listed.files


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "first message must carry the header"),
        ([chunk(b"x")], "first message must carry the header"),
        ([header("", "")], "header.filename: .*; header.purpose: "),
        ([header(), chunk(b"x"), header()], "must carry a chunk"),
        ([header(), chunk(b"x" * (MIB + 1))], "chunk: must be at most"),
    ],
)
async def test_an_upload_that_is_not_one_is_refused(
    house: House, parts: list[pb.UploadFileRequest], said: str
):
    async with grpc_stub(house) as stub, refused(Status.INVALID_ARGUMENT, said):
        await send(stub, *parts)


async def test_a_file_that_is_too_large_is_refused_as_such(house: House):
    pieces = [chunk(b"x" * MIB)] * (MAX_FILE_BYTES // MIB + 1)
    async with grpc_stub(house) as stub, refused(Status.RESOURCE_EXHAUSTED, "TOO_LARGE: "):
        await send(stub, header(), *pieces)


async def test_files_are_listed_in_pages_newest_first(house: House):
    async with grpc_stub(house, tenant="pages") as stub:
        ids = [(await send(stub, header(), chunk(b"x"))).file_id for _ in range(3)]
        first = await stub.ListFiles(pb.ListFilesRequest(limit=2), timeout=CALL_SECONDS)
        after = first.files[-1].file_id
        second = await stub.ListFiles(pb.ListFilesRequest(after=after), timeout=CALL_SECONDS)

    assert [file.file_id for file in first.files] == ids[:0:-1]
    assert first.has_more
    assert [file.file_id for file in second.files] == ids[:1]
    assert not second.has_more


@pytest.mark.parametrize(
    "asked", [pb.ListFilesRequest(limit=101), pb.ListFilesRequest(after="file-nobody")]
)
async def test_a_page_that_cannot_be_is_refused(house: House, asked: pb.ListFilesRequest):
    async with grpc_stub(house) as stub, refused(Status.INVALID_ARGUMENT):
        await stub.ListFiles(asked, timeout=CALL_SECONDS)


async def test_another_tenants_file_is_not_found(house: House):
    async with grpc_stub(house, tenant="owner") as stub:
        file_id = (await send(stub, header(), chunk(b"x"))).file_id
    async with grpc_stub(house, tenant="stranger") as stub:
        async with refused(Status.NOT_FOUND):
            await stub.GetFile(pb.GetFileRequest(file_id=file_id), timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            asked = pb.DownloadFileRequest(file_id=file_id)
            await anext(aiter(stub.DownloadFile(asked, timeout=CALL_SECONDS)))
        async with refused(Status.NOT_FOUND):
            await stub.DeleteFile(pb.DeleteFileRequest(file_id=file_id), timeout=CALL_SECONDS)


async def test_a_deleted_file_is_gone(house: House):
    async with grpc_stub(house, tenant="tidy") as stub:
        file_id = (await send(stub, header(), chunk(b"x"))).file_id
        await stub.DeleteFile(pb.DeleteFileRequest(file_id=file_id), timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            await stub.GetFile(pb.GetFileRequest(file_id=file_id), timeout=CALL_SECONDS)
