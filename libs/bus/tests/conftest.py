"""A real broker without streams for each test, and a connection to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_bus.bus import Bus
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.shared_nats import SharedNats, broker_for


@pytest_asyncio.fixture
async def broker(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[NatsServer | SharedNats]:
    async with broker_for(request.node, tmp_path / "nats") as server:
        yield server


@pytest_asyncio.fixture
async def bus(broker: NatsServer | SharedNats) -> AsyncIterator[Bus]:
    async with Bus.connect(broker.url, broker.token, name="tester") as connected:
        yield connected
