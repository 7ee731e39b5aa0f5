"""Several real nats-servers on loopback that are one cluster, any of which a test may kill."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.ports import free_port

SETTINGS = """\
authorization {{ token: "{token}" }}
server_name: "{name}"
cluster {{
  name: "testkit"
  listen: "127.0.0.1:{port}"
  routes: [{routes}]
}}
"""


class NatsCluster:
    """The servers, and how to reach them."""

    def __init__(self, servers: Mapping[str, NatsServer], token: str) -> None:
        self.servers = servers
        """By the names that the brokers have for each other, for example of a stream's leader."""
        self.token = token
        """The same for each."""

    @property
    def url(self) -> str:
        """All of them, separated by commas."""
        return ",".join(server.url for server in self.servers.values())


@asynccontextmanager
async def run_nats_cluster(folder: Path, size: int = 3) -> AsyncIterator[NatsCluster]:
    """Started servers that store under `folder`; stopped when the block ends.

    The first stream can be made once they have found each other, a second or two later.
    """
    token, ports = secrets.token_hex(16), [free_port() for _ in range(size)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = {}
    for number, port in enumerate(ports):
        name = f"nats-{number}"
        settings = SETTINGS.format(token=token, name=name, port=port, routes=routes)
        servers[name] = NatsServer(folder / name, free_port(), token, settings)
    try:
        await asyncio.gather(*(server.start() for server in servers.values()))
        yield NatsCluster(servers, token)
    finally:
        await asyncio.gather(*(server.stop() for server in servers.values()))
