import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest_asyncio
from google.protobuf.message import Message
from modelmill.registry.v1.model_events_pb2 import ModelServing, ServingState
from modelmill_inference.announce_serving import ServingAnnouncer
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

READY, STOPPED = ServingState.SERVING_STATE_READY, ServingState.SERVING_STATE_STOPPED


@dataclass
class AbsentBus:
    """A bus that is away for some publishes; it keeps what was tried, and what was stored."""

    failures: int
    tried: list[str | None] = field(default_factory=list)
    stored: list[Message] = field(default_factory=list)

    async def publish(self, subject: str, body: Message, *, msg_id: str | None = None) -> int:
        self.tried.append(msg_id)
        if len(self.tried) <= self.failures:
            raise UnavailableError("the bus is away")
        self.stored.append(body)
        return len(self.stored)


def fact(version_id: str, state: "ServingState.ValueType" = READY) -> ModelServing:
    return ModelServing(version_id=version_id, state=state)


@pytest_asyncio.fixture
async def bus() -> AbsentBus:
    return AbsentBus(failures=3)


@pytest_asyncio.fixture
async def announcer(bus: AbsentBus) -> AsyncIterator[ServingAnnouncer]:
    announcer = ServingAnnouncer(bus, "inference-1", retry_seconds=0.01)
    running = asyncio.create_task(announcer.run())
    yield announcer
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_fact_is_told_until_it_is_stored_and_counts_once(
    bus: AbsentBus, announcer: ServingAnnouncer
) -> None:
    announcer.announce(fact("mv-1"))

    await eventually(lambda: bus.stored)
    assert bus.tried == ["inference-1-0"] * 4
    assert bus.stored == [ModelServing(version_id="mv-1", state=READY, replica="inference-1")]


async def test_of_one_version_only_the_newest_fact_waits(
    bus: AbsentBus, announcer: ServingAnnouncer
) -> None:
    for said in (fact("mv-1"), fact("mv-2"), fact("mv-1", STOPPED)):
        announcer.announce(said)

    await eventually(lambda: len(bus.stored) == 2)
    assert [(told.version_id, told.state) for told in bus.stored] == [
        ("mv-2", READY),
        ("mv-1", STOPPED),
    ]


async def test_a_farewell_does_not_wait_for_ever() -> None:
    bus = AbsentBus(failures=1000)
    announcer = ServingAnnouncer(bus, "inference-1")
    announcer.announce(fact("mv-1", STOPPED))

    async with asyncio.timeout(20):
        await announcer.drain(0.05)

    assert bus.stored == []
