"""uvicorn as the gateway uses it, but with its own listener: for the floors of HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from modelmill_testkit.waiting import eventually
from uvicorn import Config, Server


@asynccontextmanager
async def asgi_app(app: Any) -> AsyncIterator[int]:
    """Serve `app` on loopback until the block ends; gives the port."""
    server = Server(_config(app))
    # Not serve(): it would take the process's signals for itself.
    serving = asyncio.create_task(server._serve())
    await eventually(lambda: server.started, within=10)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def _config(app: Any) -> Config:
    return Config(
        app,
        port=0,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
