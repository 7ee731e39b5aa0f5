"""Files in parts over gRPC."""

import grpc
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import House
from modelmill.data_prep.v1.data_prep_service_pb2 import Upload
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.entrypoints.schemas.files import MAX_PARTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode
MIB = 1024 * 1024


async def begun(stub: GatewayServiceStub, size_bytes: int = 6) -> str:
    header = pb.FileHeader(filename="rows.jsonl", purpose="fine-tune")
    asked = pb.CreateUploadRequest(header=header, size_bytes=size_bytes)
    upload_id: str = (await stub.CreateUpload(asked, timeout=CALL_SECONDS)).upload.upload_id
    return upload_id


async def add(stub: GatewayServiceStub, upload_id: str, *chunks: bytes) -> str:
    messages = [
        pb.AddUploadPartRequest(header=pb.UploadPartHeader(upload_id=upload_id)),
        *(pb.AddUploadPartRequest(chunk=chunk) for chunk in chunks),
    ]
    part_id: str = (await stub.AddUploadPart(iter(messages), timeout=CALL_SECONDS)).part_id
    return part_id


async def complete(stub: GatewayServiceStub, upload_id: str, *part_ids: str) -> Upload:
    asked = pb.CompleteUploadRequest(upload_id=upload_id, part_ids=part_ids)
    upload: Upload = (await stub.CompleteUpload(asked, timeout=CALL_SECONDS)).upload
    return upload


async def test_parts_become_a_file_in_the_order_given(house: House):
    async with grpc_stub(house, tenant="parts") as stub:
        upload_id = await begun(stub)
        second = await add(stub, upload_id, b"{", b"}\n")
        first = await add(stub, upload_id, b"[]\n")
        upload = await complete(stub, upload_id, first, second)
        asked = pb.DownloadFileRequest(file_id=upload.file.file_id)
        pieces = [one.chunk async for one in stub.DownloadFile(asked, timeout=CALL_SECONDS)]

    assert (upload.status, upload.file.tenant) == ("completed", "parts")
    assert b"".join(pieces) == b"[]\n{}\n"


async def test_a_cancelled_upload_takes_no_more_parts(house: House):
    async with grpc_stub(house) as stub:
        upload_id = await begun(stub)
        asked = pb.CancelUploadRequest(upload_id=upload_id)
        cancelled = await stub.CancelUpload(asked, timeout=CALL_SECONDS)

        assert cancelled.upload.status == "cancelled"
        async with refused(Status.NOT_FOUND):
            await add(stub, upload_id, b"x")


async def test_one_tenant_reaches_no_upload_of_another(house: House):
    async with grpc_stub(house, tenant="owner") as owner:
        upload_id = await begun(owner)
        part = await add(owner, upload_id, b"{}\n")
        async with grpc_stub(house, tenant="stranger") as stranger:
            async with refused(Status.NOT_FOUND):
                await add(stranger, upload_id, b"x")
            async with refused(Status.NOT_FOUND):
                await complete(stranger, upload_id, part)
            async with refused(Status.NOT_FOUND):
                asked = pb.CancelUploadRequest(upload_id=upload_id)
                await stranger.CancelUpload(asked, timeout=CALL_SECONDS)
        assert (await complete(owner, upload_id, part)).status == "completed"


async def test_what_is_no_upload_is_refused_with_its_reason(house: House):
    async with grpc_stub(house) as stub:
        async with refused(Status.INVALID_ARGUMENT, "header.filename: .*; header.purpose: "):
            await stub.CreateUpload(pb.CreateUploadRequest(), timeout=CALL_SECONDS)
        upload_id = await begun(stub)
        async with refused(Status.INVALID_ARGUMENT, "first message must carry the header"):
            nothing = iter([pb.AddUploadPartRequest(chunk=b"x")])
            await stub.AddUploadPart(nothing, timeout=CALL_SECONDS)
        async with refused(Status.INVALID_ARGUMENT, "chunk: must be at most"):
            await add(stub, upload_id, b"x" * (MIB + 1))
        async with refused(Status.INVALID_ARGUMENT, "no part 'part_x'"):
            await complete(stub, upload_id, "part_x")
        async with refused(Status.INVALID_ARGUMENT, f"at most {MAX_PARTS}"):
            await complete(stub, upload_id, *["part_x"] * (MAX_PARTS + 1))


async def test_a_part_that_is_larger_than_any_upload_is_refused_as_such(house: House):
    async with (
        another_gateway(house, max_upload_bytes=MIB) as other,
        grpc_stub(other.house) as stub,
    ):
        upload_id = await begun(stub)
        async with refused(Status.RESOURCE_EXHAUSTED, "TOO_LARGE: "):
            await add(stub, upload_id, b"x" * MIB, b"x")
