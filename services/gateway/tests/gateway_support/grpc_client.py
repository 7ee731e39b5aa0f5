"""Clients of the gateway's gRPC API."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_service_kit.grpc_client import open_channel

from gateway_support.house import House

CALL_SECONDS = 60


@asynccontextmanager
async def grpc_stub(house: House, **claims: Any) -> AsyncIterator[GatewayServiceStub]:
    """A stub that sends a token with these claims."""
    async with open_channel(house.grpc_address, house.issuer.token(**claims)) as channel:
        yield GatewayServiceStub(channel)


async def upload_rows(stub: GatewayServiceStub) -> FileState:
    """Store a file of one row."""
    header = pb.FileHeader(filename="a.jsonl", purpose="fine-tune")
    messages = [
        pb.UploadFileRequest(header=header),
        pb.UploadFileRequest(chunk=b"{}"),
        pb.UploadFileRequest(end=pb.FileEnd()),
    ]
    return (await stub.UploadFile(iter(messages), timeout=CALL_SECONDS)).file


@asynccontextmanager
async def refused(status: grpc.StatusCode, said: str = "") -> AsyncIterator[None]:
    """Expect a gRPC error with this status and text."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        yield
    details = refusal.value.details() or ""
    assert refusal.value.code() is status, details
    assert re.search(said, details), details
