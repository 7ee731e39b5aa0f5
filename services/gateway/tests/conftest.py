"""Fixtures: the house for a whole module where tests leave it as it was, or one of their own."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_testkit.shared_nats import broker_for

sys.path.append(str(Path(__file__).parent))

from gateway_support.house import House, run_house
from gateway_support.issuer import Issuer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One house for a module; tests reset what the peers say through `house`."""
    async with run_house(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def house(shared_house: House) -> AsyncIterator[House]:
    """The module's house with peers that say what they say by default."""
    shared_house.inference.reset()
    shared_house.moderation.reset()
    yield shared_house
    await shared_house.clients.aclose()


@pytest_asyncio.fixture
async def own_house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """A house that a test may break."""
    broker = broker_for(request.node, tmp_path / "nats")
    async with run_house(tmp_path, broker) as running:
        yield running


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """An issuer with a JWKS file."""
    return Issuer(tmp_path / "jwks.json")
