"""A real broker with all streams, as `mill doctor` sees it."""

import time
from collections.abc import Callable
from dataclasses import replace

import nats
from modelmill_bus.inspection import BrokerState, inspect_broker
from modelmill_bus.streams import ensure_streams
from modelmill_cli.doctor.examined import Examined
from modelmill_testkit.shared_nats import SharedNats
from nats.js.client import JetStreamContext

from tests.doctor.planted import PLANTED_IN_BROKER, running


async def plant_in(server: SharedNats, check: str) -> None:
    """Make all streams, then what the check must find."""
    client = await nats.connect(server.url, token=server.token)
    try:
        js: JetStreamContext = client.jetstream()
        await ensure_streams(js)
        if check:
            await PLANTED_IN_BROKER[check](js)
    finally:
        await client.close()


async def seen(server: SharedNats, clock: Callable[[], float] = time.time) -> BrokerState:
    """What is asked of it."""
    return await inspect_broker(server.url, server.token, name="doctor", clock=clock)


def beside(it: Examined, broker: BrokerState) -> Examined:
    """A healthy instance with this broker."""
    return replace(it, running=replace(running(it), broker=broker))
