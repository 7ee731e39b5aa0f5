"""Records that nobody waits for: bounded, patient while the bus is away, counted when lost."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch
from modelmill_bus.record_queue import RecordQueue
from modelmill_service_kit.errors import InvalidInputError, UnavailableError
from modelmill_testkit.waiting import eventually


class Bus:
    """Says what it is told to, once for each call, then stores."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.stored: list[str] = []
        self.tried: list[str] = []

    async def publish(self, subject: str, body: Any, *, msg_id: str = "", **_: Any) -> int:
        self.tried.append(msg_id)
        if self.answers:
            raise self.answers.pop(0)
        self.stored.append(msg_id)
        return 1


@asynccontextmanager
async def running(queue: RecordQueue):
    task = asyncio.create_task(queue.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def queue_on(bus: Bus, lost: list[float], size: int = 10) -> RecordQueue:
    return RecordQueue(bus, "records", size, lost.append)


def put(queue: RecordQueue, *ids: str) -> None:
    for each in ids:
        queue.put("usage.recorded.acme", UsageBatch(), msg_id=each)


async def test_while_the_bus_is_away_a_record_waits_and_keeps_its_id() -> None:
    bus, lost = Bus(UnavailableError("away")), list[float]()
    queue = queue_on(bus, lost)
    async with running(queue):
        put(queue, "a", "b")
        await eventually(lambda: sorted(bus.stored) == ["a", "b"])
    assert (sorted(bus.tried), lost) == (["a", "a", "b"], [])


async def test_a_record_that_the_bus_refuses_is_lost_alone() -> None:
    bus, lost = Bus(InvalidInputError("too large"), RuntimeError("a bug")), list[float]()
    queue = queue_on(bus, lost)
    async with running(queue):
        put(queue, "a", "b", "c")
        await eventually(lambda: bus.stored == ["c"])
    assert sum(lost) == 2


async def test_what_is_more_than_may_wait_is_lost_and_the_rest_at_the_end() -> None:
    bus, lost = Bus(*[UnavailableError("away")] * 99), list[float]()
    queue = queue_on(bus, lost, size=2)
    put(queue, "a", "b", "c")
    assert sum(lost) == 1
    async with running(queue):
        await eventually(lambda: bus.tried)
        await queue.drain(0.01)
    assert sum(lost) == 3
