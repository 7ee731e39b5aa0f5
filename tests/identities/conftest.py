"""Identities that were just made, and a broker that admits them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_bus.broker_config import Identities
from modelmill_bus.deploy import make_streams
from modelmill_bus.permissions import DEPLOY
from modelmill_testkit.nats_server import NatsServer, run_nats


@pytest.fixture
def people(tmp_path: Path) -> Identities:
    made = Identities(tmp_path / "identities")
    made.ensure()
    return made


@pytest_asyncio.fixture
async def broker(people: Identities, tmp_path: Path) -> AsyncIterator[NatsServer]:
    """With the streams of the table."""
    async with run_nats(tmp_path / "nats", people.authorization()) as server:
        await make_streams(server.url, people.seed(DEPLOY))
        yield server
