"""A real broker for each test, and a connection to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from modelmill_bus.bus import Bus
from modelmill_testkit.nats_server import NatsServer, run_nats


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with run_nats(tmp_path / "nats") as server:
        yield server


@pytest_asyncio.fixture
async def bus(broker: NatsServer) -> AsyncIterator[Bus]:
    async with Bus.connect(broker.url, broker.token, name="tester") as connected:
        yield connected
