"""What one channel knows of a server is not another's; what a caller hears of one that stops."""

import asyncio

import grpc
import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as guard_pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as guard_grpc
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.ports import free_port

SECRET = "s3cret-of-the-services"


class Guards(guard_grpc.ModerationServiceServicer):
    async def Check(self, request, context):
        return guard_pb.CheckResponse()


def serving(address: str) -> RpcServer:
    server = RpcServer(address, SECRET, drain_seconds=0)
    guard_grpc.add_ModerationServiceServicer_to_server(Guards(), server.grpc)
    return server


async def check(channel: grpc.aio.Channel) -> None:
    stub = guard_grpc.ModerationServiceStub(channel)
    await stub.Check(guard_pb.CheckRequest(), timeout=20)


async def test_a_new_channel_reaches_a_server_whose_port_another_channel_saw_dead():
    target = f"127.0.0.1:{free_port()}"
    older = open_channel(target, SECRET)
    async with serving(target):
        await check(older)
    async with older:
        with pytest.raises(grpc.aio.AioRpcError):
            await check(older)

        async with serving(target), open_channel(target, SECRET) as newer:
            await check(newer)


async def asked(channel: grpc.aio.Channel) -> str:
    try:
        with domain_errors("moderation"):
            await check(channel)
    except UnavailableError:
        return "unavailable"
    return "answered"


async def test_calls_that_a_stopping_server_has_not_taken_up_may_be_repeated():
    """gRPC cancels them by itself, as if their caller had left."""
    target = f"127.0.0.1:{free_port()}"
    async with open_channel(target, SECRET) as channel:
        async with serving(target):
            await check(channel)
            calls = [asyncio.create_task(asked(channel)) for _ in range(500)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        ends = await asyncio.gather(*calls)

    assert set(ends) == {"answered", "unavailable"}
