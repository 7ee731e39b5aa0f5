"""The real bus over the broker in memory."""

from typing import Any, cast

from modelmill_bus.bus import Bus
from modelmill_bus.link import Link
from modelmill_bus.streams import ensure_streams
from modelmill_testkit.fake_nats.broker import FakeBroker
from modelmill_testkit.fake_nats.client import FakeClient


async def connect(broker: FakeBroker, name: str) -> tuple[Bus, FakeClient]:
    """A bus with all streams in place; what it is called back for happens where this is called."""
    client = FakeClient(broker)
    link = Link(cast(Any, client), name)
    client.on_reconnect = link.reconnected
    if not broker.streams:
        await ensure_streams(link.js)
    return Bus(link, name), client
