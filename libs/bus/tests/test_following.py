"""A follower that is cancelled ends, whatever its connection does at that moment."""

import asyncio
from contextlib import suppress

from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY
from modelmill_testkit.nats_server import NatsServer


async def test_a_follower_ends_when_it_is_cancelled_after_its_bus_was_closed(broker: NatsServer):
    current = asyncio.Event()
    async with Bus.connect(broker.url, broker.token, name="tester") as bus:
        reading = asyncio.create_task(_read(bus, current))
        await asyncio.wait_for(current.wait(), 60)
    reading.cancel()
    await asyncio.wait({reading}, timeout=60)
    assert reading.done()


async def test_a_follower_ends_although_its_cancel_was_lost_in_an_answer(bus: Bus, monkeypatch):
    js, asked = bus._link.js, asyncio.Event()
    add_consumer = js.add_consumer

    async def answer_a_cancelled_request(*args):
        # What `asyncio.wait_for` of Python 3.11 does when answer and cancel come in one tick.
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await add_consumer(*args)

    monkeypatch.setattr(js, "add_consumer", answer_a_cancelled_request)
    reading = asyncio.create_task(_read(bus, asyncio.Event()))
    await asked.wait()
    reading.cancel()
    await asyncio.wait({reading}, timeout=60)

    assert reading.cancelled()


async def _read(bus: Bus, current: asyncio.Event) -> None:
    async for _ in bus.follow([DATASET_READY], on_current=current.set):
        pass
