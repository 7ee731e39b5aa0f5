"""A follower that is cancelled ends, whatever its connection does at that moment."""

import asyncio

from jobs.bus import Bus
from jobs.subjects import DATASET_READY
from testkit.nats_server import NatsServer


async def test_a_follower_ends_when_it_is_cancelled_after_its_bus_was_closed(broker: NatsServer):
    current = asyncio.Event()
    async with Bus.connect(broker.url, broker.token, name="tester") as bus:
        reading = asyncio.create_task(_read(bus, current))
        await asyncio.wait_for(current.wait(), 10)
    reading.cancel()
    await asyncio.wait({reading}, timeout=5)
    assert reading.done()


async def _read(bus: Bus, current: asyncio.Event) -> None:
    async for _ in bus.follow([DATASET_READY], on_current=current.set):
        pass
