"""The floor of latency.gateway: a raw ASGI app that sends back its answer, served as ours is.

uvicorn with the gateway's settings, and started as a service is (so on the same event loop,
whichever that is), and no work: the body is read, 1 KB of JSON is sent. The listener is uvicorn's
own and not the gateway's, so that what the gateway does to its sockets is in the ratio.
"""

import asyncio
from typing import Any

from pydantic_settings import SettingsConfigDict
from service_kit.process import announce_ready, run_service
from service_kit.settings import ServiceSettings
from testkit.waiting import eventually
from uvicorn import Config, Server

ANSWER = b'{"text": "' + b"x" * 1010 + b'"}'


class EchoSettings(ServiceSettings):
    """As ECHO_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="ECHO_", frozen=True)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """One request."""
    while (await receive()).get("more_body", False):
        pass
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(ANSWER)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


async def serve(settings: EchoSettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    config = Config(
        answer,
        port=0,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = Server(config)
    # Not serve(): it would take the process's signals for itself.
    serving = asyncio.create_task(server._serve())
    await eventually(lambda: server.started, within=10)
    announce_ready(http=server.servers[0].sockets[0].getsockname()[1])
    await stopping.wait()
    server.should_exit = True
    await serving


if __name__ == "__main__":
    run_service("asgi-echo", EchoSettings, serve)
