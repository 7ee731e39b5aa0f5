"""A second gateway beside the house's, on the same bus and peers: set up otherwise, or ended."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from modelmill_gateway.main import serve
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

from gateway_support.house import House


@dataclass
class AnotherGateway:
    """A house that differs only in its addresses; `stopping` ends it."""

    house: House
    stopping: asyncio.Event


@asynccontextmanager
async def another_gateway(house: House, **changes: Any) -> AsyncIterator[AnotherGateway]:
    """Runs until the block ends; `changes` are settings."""
    http_port, grpc_port = free_port(), free_port()
    addresses = {
        "http_address": f"127.0.0.1:{http_port}",
        "grpc_address": f"127.0.0.1:{grpc_port}",
    }
    settings = house.settings.model_copy(update=addresses | changes)
    root = settings.tls_certificate_path
    trust = ssl.create_default_context(cafile=root)
    itself = replace(
        house,
        url=f"{'https' if root else 'http'}://127.0.0.1:{http_port}",
        grpc_address=f"127.0.0.1:{grpc_port}",
        settings=settings,
    )
    running = AnotherGateway(itself, asyncio.Event())
    serving = asyncio.create_task(serve(settings, running.stopping))

    async def answers() -> bool:
        if serving.done():
            serving.result()
        try:
            async with httpx.AsyncClient(verify=trust) as client:
                return (await client.get(f"{itself.url}/healthz")).is_success
        except httpx.TransportError:
            return False

    try:
        await eventually(answers)
        yield running
    finally:
        running.stopping.set()
        await serving
