"""Several real nats-servers on loopback that are one cluster, any of which a test may kill."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from testkit.nats_server import NatsServer
from testkit.ports import free_port

CLUSTER = """\
server_name: "{name}"
cluster {{
  name: "testkit"
  listen: "127.0.0.1:{port}"
  routes: [{routes}]
}}
"""


class ClusteredServer(NatsServer):
    """One of them: as a server alone, with routes to the others."""

    def __init__(
        self, name: str, store: Path, port: int, token: str, route_ports: Sequence[int]
    ) -> None:
        super().__init__(store, port, token)
        self.name = name
        """As the broker says it, for example of a stream's leader."""
        own, *_ = route_ports
        routes = ", ".join(f'"nats://127.0.0.1:{each}"' for each in sorted(route_ports))
        self._cluster = CLUSTER.format(name=name, port=own, routes=routes)

    def _config(self) -> str:
        return super()._config() + self._cluster


class NatsCluster:
    """The servers, and how to reach them."""

    def __init__(self, servers: Sequence[ClusteredServer]) -> None:
        self.servers = {server.name: server for server in servers}

    @property
    def url(self) -> str:
        """All of them, separated by commas."""
        return ",".join(server.url for server in self.servers.values())

    @property
    def token(self) -> str:
        """The same for each."""
        return next(iter(self.servers.values())).token


@asynccontextmanager
async def run_nats_cluster(folder: Path, size: int = 3) -> AsyncIterator[NatsCluster]:
    """Started servers that store under `folder`; stopped when the block ends.

    The first stream can be made once they have found each other, a second or two later.
    """
    token = secrets.token_hex(16)
    routes = [free_port() for _ in range(size)]
    cluster = NatsCluster(
        [
            ClusteredServer(
                f"nats-{number}",
                folder / f"nats-{number}",
                free_port(),
                token,
                [routes[number], *routes[:number], *routes[number + 1 :]],
            )
            for number in range(size)
        ]
    )
    try:
        await asyncio.gather(*(server.start() for server in cluster.servers.values()))
        yield cluster
    finally:
        await asyncio.gather(*(server.stop() for server in cluster.servers.values()))
