"""A service that leaves while its successor runs beside it, as its steady callers hear of it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter

import grpc
import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as guard_pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as guard_grpc
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.ports import ALTERNATIVES
from modelmill_service_kit.process import (
    LAME_DUCK,
    LAME_DUCK_NOTICE_SECONDS,
    STOP_ON_EOF,
    Ending,
    Stopping,
)
from modelmill_service_kit.settings import ServiceSettings
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

SECRET = "s3cret-of-the-services"
CALLERS = 50
DEPARTURES = 50


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
    assert set(await heard_while_one_leaves(LAME_DUCK_NOTICE_SECONDS)) == {"answered"}


async def test_without_notice_some_do_so_the_notice_is_needed():
    heard: Counter[str] = Counter()
    for _ in range(DEPARTURES):  # whether a call meets the closing port is chance
        heard += await heard_while_one_leaves(None)
        if heard["unavailable"]:
            break
    assert heard["unavailable"]


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
    stopping.is_lame_duck = True
    alone, lame_duck = Ending.of(Stopping(), settings), Ending.of(stopping, settings)

    assert (alone.notice_seconds, lame_duck.notice_seconds) == (0, LAME_DUCK_NOTICE_SECONDS)
    assert alone.seconds_left == pytest.approx(settings.drain_seconds, abs=5)
    longest = LAME_DUCK_NOTICE_SECONDS + settings.lame_duck_drain_seconds
    assert lame_duck.seconds_left == pytest.approx(longest, abs=5)
    assert Ending.of(stopping, settings) is lame_duck, "all that ends asks for the same deadline"


class HangingGuards(Guards):
    async def Check(self, request, context):
        self.asked += 1
        await asyncio.Event().wait()


async def test_calls_in_hand_have_no_more_time_once_the_deadline_is_brought_forward():
    address, ending = f"127.0.0.1:{free_port()}", Ending(0, drain_seconds=60)
    guards, server = HangingGuards(), RpcServer(address, SECRET)
    guard_grpc.add_ModerationServiceServicer_to_server(guards, server.grpc)

    async def leave() -> None:
        async with server:
            calling = asyncio.create_task(asked(channel))
            await eventually(lambda: guards.asked)
            await server.give_notice(ending)
        assert await calling == "unavailable"

    async with open_channel(address, SECRET) as channel:
        leaving = asyncio.create_task(leave())
        await eventually(lambda: guards.asked)
        assert not (await asyncio.wait([leaving], timeout=0.5))[0]
        ending.cut_to(Ending(0, drain_seconds=0.1))
        await asyncio.wait_for(leaving, 30)


@pytest.mark.tier("test")
async def test_calls_that_are_cut_off_at_the_deadline_do_not_end_the_process():
    """A grace period of gRPC that ends with the deadline is, by chance, a segmentation fault."""

    async def leave_with_a_call_in_hand() -> None:
        address = f"127.0.0.1:{free_port()}"
        guards, server = HangingGuards(), RpcServer(address, SECRET)
        guard_grpc.add_ModerationServiceServicer_to_server(guards, server.grpc)
        async with open_channel(address, SECRET) as channel:
            async with server:
                calling = asyncio.create_task(asked(channel))
                await eventually(lambda: guards.asked)
                await server.give_notice(Ending(0, drain_seconds=0.02))
            assert await calling == "unavailable"

    for _ in range(30):  # whether the two meet is chance
        await asyncio.gather(*(leave_with_a_call_in_hand() for _ in range(16)))


LONG_LEAVING = """
import asyncio
from modelmill_service_kit.process import Ending, announce_ready, run_service
from modelmill_service_kit.settings import ServiceSettings
from pydantic_settings import SettingsConfigDict

class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="DUCK_")

async def serve(settings, stopping):
    announce_ready(grpc=1)
    await stopping.wait()
    print("leaves", flush=True)
    await Ending.of(stopping, settings).wait_for(asyncio.Future())

run_service("duck", Settings, serve)
"""


@pytest.mark.parametrize("by_signal", [True, False])
async def test_a_plain_stop_leaves_a_lame_duck_no_more_time_than_others_have(
    tmp_path, by_signal: bool
):
    told = {"NATS_URL": "nats://h", "NATS_TOKEN": "t", "SERVICE_SECRET": SECRET}
    told |= {"ARTIFACT_ROOT": str(tmp_path), "DRAIN_SECONDS": "0.5"}
    environment = {f"DUCK_{name}": value for name, value in told.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LONG_LEAVING),
        env=os.environ | environment | {STOP_ON_EOF: "1"},
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert b"READY" in await asyncio.wait_for(process.stdout.readline(), 60)
        process.send_signal(LAME_DUCK)
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"leaves\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 1)

        if by_signal:
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
