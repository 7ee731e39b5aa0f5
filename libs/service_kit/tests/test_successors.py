"""A service that leaves while its successor runs beside it, as its steady callers hear of it."""

import asyncio
from collections import Counter

import grpc
import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as guard_pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as guard_grpc
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.ports import ALTERNATIVES
from modelmill_service_kit.process import LAME_DUCK_NOTICE_SECONDS, Ending, Stopping
from modelmill_service_kit.settings import ServiceSettings
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

SECRET = "s3cret-of-the-services"
CALLERS = 50


class Guards(guard_grpc.ModerationServiceServicer):
    def __init__(self) -> None:
        self.asked = 0

    async def Check(self, request, context):
        self.asked += 1
        return guard_pb.CheckResponse()


class Replica:
    def __init__(self, address: str, *, ready: bool = True, takes_calls_unready: bool = False):
        self.guards = Guards()
        self.server = RpcServer(
            address, SECRET, ready=ready, takes_calls_unready=takes_calls_unready
        )
        guard_grpc.add_ModerationServiceServicer_to_server(self.guards, self.server.grpc)


async def asked(channel: grpc.aio.Channel) -> str:
    try:
        with domain_errors("moderation"):
            await guard_grpc.ModerationServiceStub(channel).Check(
                guard_pb.CheckRequest(), timeout=20
            )
    except UnavailableError:
        return "unavailable"
    return "answered"


async def heard_while_one_leaves(notice_seconds: float | None) -> Counter[str]:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    old, new = map(Replica, addresses)
    heard: Counter[str] = Counter()

    async def call_on_and_on(channel: grpc.aio.Channel) -> None:
        while True:
            heard[await asked(channel)] += 1

    async with open_channel(ALTERNATIVES.join(addresses), SECRET) as channel, new.server:
        async with old.server:
            calling = [asyncio.create_task(call_on_and_on(channel)) for _ in range(CALLERS)]
            await eventually(lambda: old.guards.asked > CALLERS and new.guards.asked > CALLERS)
            if notice_seconds is not None:
                await old.server.give_notice(Ending(notice_seconds, drain_seconds=10))
        before = new.guards.asked
        await eventually(lambda: new.guards.asked > before + CALLERS)
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
    return heard


async def test_with_notice_no_call_of_fifty_steady_callers_fails():
    assert set(await heard_while_one_leaves(0.2)) == {"answered"}


async def test_without_notice_some_do_so_the_notice_is_needed():
    assert set(await heard_while_one_leaves(None)) == {"answered", "unavailable"}


async def test_a_service_is_found_at_either_of_its_addresses():
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    async with open_channel(ALTERNATIVES.join(addresses), SECRET) as channel:
        for address in addresses:
            replica = Replica(address)
            async with replica.server:
                await eventually(lambda: asked_well(channel))
                assert replica.guards.asked


async def asked_well(channel: grpc.aio.Channel) -> bool:
    return await asked(channel) == "answered"


@pytest.mark.parametrize("takes_calls_unready", [False, True])
async def test_who_is_not_ready_is_asked_only_where_it_takes_calls_all_the_same(
    takes_calls_unready: bool,
):
    address = f"127.0.0.1:{free_port()}"
    replica = Replica(address, ready=False, takes_calls_unready=takes_calls_unready)
    async with replica.server, open_channel(address, SECRET) as channel:
        assert await asked(channel) == ("answered" if takes_calls_unready else "unavailable")
        await replica.server.set_ready(True)
        await eventually(lambda: asked_well(channel))


def test_who_has_a_successor_gives_notice_and_has_long_to_drain(tmp_path):
    settings = ServiceSettings(
        service_secret=SECRET, artifact_root=tmp_path, nats_url="nats://h", nats_token="t"
    )
    stopping = Stopping()
    alone = Ending.of(stopping, settings)
    stopping.is_lame_duck = True
    lame_duck = Ending.of(stopping, settings)

    assert (alone.notice_seconds, alone.drain_seconds) == (0, settings.drain_seconds)
    assert lame_duck.notice_seconds == LAME_DUCK_NOTICE_SECONDS
    assert lame_duck.drain_seconds == settings.lame_duck_drain_seconds > 60
