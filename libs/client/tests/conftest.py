"""A running gateway, and clients of either half."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from modelmill_client import AsyncModelmill, Modelmill, Retries

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[3] / "services" / "gateway" / "tests"))

from client_support.halves import HALVES, Awaited
from gateway_support.house import NO_TLS, House, run_house

AT_ONCE = Retries(first_wait_seconds=0, reconnect_seconds=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A gateway for a module."""
    async with run_house(tmp_path_factory.mktemp("house"), webhook_allow_private=True) as running:
        yield running


@pytest.fixture(params=HALVES)
def half(request: pytest.FixtureRequest) -> str:
    """Which half a test is about."""
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="module")
async def connect(house: House, half: str) -> AsyncIterator[Callable[..., Any]]:
    """Makes a client of the gateway with a token of these claims."""
    async with AsyncExitStack() as stack:

        def make(**claims: Any) -> Any:
            token = house.issuer.token(**{"tenant": f"client-{half}"} | claims)
            if half == "async":
                client = AsyncModelmill(f"{house.url}/", token, timeout=20, verify=NO_TLS)
                stack.push_async_callback(client.aclose)
                return client
            blocking = Modelmill(f"{house.url}/", token, timeout=20, verify=NO_TLS)
            stack.callback(blocking.close)
            return Awaited(blocking)

        yield make


@pytest.fixture
def faulty(half: str) -> Callable[..., Any]:
    """Makes a client whose requests this function answers."""

    def make(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> Any:
        transport = httpx.MockTransport(answer)
        options = {"retries": AT_ONCE, "transport": transport, "token": "token"} | options
        if half == "async":
            return AsyncModelmill("http://gateway", **options)
        return Awaited(Modelmill("http://gateway", **options))

    return make
