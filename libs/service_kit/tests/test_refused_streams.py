import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import (
    DataPrepServiceServicer,
    DataPrepServiceStub,
    add_DataPrepServiceServicer_to_server,
)
from modelmill_service_kit import grpc_server
from modelmill_service_kit.errors import TooLargeError, UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer

SECRET = "secret-of-this-test-0123456789abcdef"
SECONDS = 20
CHUNK = pb.AddUploadPartRequest(chunk=b"x" * 65_536)


class Uploads(DataPrepServiceServicer):
    """Refuses the second message of each upload."""

    async def AddUploadPart(
        self, requests: AsyncIterator[pb.AddUploadPartRequest], context: Any
    ) -> pb.AddUploadPartResponse:
        async for _ in requests:
            await anext(aiter(requests))
            raise TooLargeError("the part is too large")
        raise AssertionError("no message came")


@pytest.fixture
async def stub() -> AsyncIterator[DataPrepServiceStub]:
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    add_DataPrepServiceServicer_to_server(Uploads(), server.grpc)
    async with server, open_channel(f"127.0.0.1:{server.port}", SECRET) as channel:
        yield DataPrepServiceStub(channel)


async def test_a_sender_hears_each_time_why_it_was_refused(stub):
    """Of such calls, a server that refuses at once leaves one to three in a hundred without it."""

    async def requests() -> AsyncIterator[pb.AddUploadPartRequest]:
        for _ in range(8):
            await asyncio.sleep(0)
            yield CHUNK

    for _ in range(200):
        with pytest.raises(TooLargeError), domain_errors("the server"):
            await stub.AddUploadPart(requests(), timeout=SECONDS)


async def test_a_sender_that_pauses_hears_it_before_it_goes_on(stub):
    refused = asyncio.Event()

    async def requests() -> AsyncIterator[pb.AddUploadPartRequest]:
        yield CHUNK
        yield CHUNK
        await refused.wait()

    call = stub.AddUploadPart(requests(), timeout=SECONDS)
    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    refused.set()


async def test_a_sender_that_never_ends_is_refused_all_the_same(stub, monkeypatch):
    monkeypatch.setattr(grpc_server, "LINGER_SECONDS", 0.5)

    async def requests() -> AsyncIterator[pb.AddUploadPartRequest]:
        while True:
            yield CHUNK

    with pytest.raises((TooLargeError, UnavailableError)), domain_errors("the server"):
        await stub.AddUploadPart(requests(), timeout=SECONDS)


async def test_an_answer_that_grpcs_client_lost_becomes_something_to_retry():
    nothing = grpc.aio.Metadata()
    lost = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL, nothing, nothing, "Internal error from Core"
    )
    with pytest.raises(UnavailableError, match="Retry"), domain_errors("data-prep"):
        raise lost
