"""A real nats-server that the tests of a run share, one after the other.

A test leases it, with no stream of the test before; two leases at the same time get two servers. It
is not to be killed or frozen, and does not fsync: whoever needs that takes `nats_server.run_nats`.
"""

import atexit
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from nats.js.client import JetStreamContext

from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

_starting: ContextVar[bool] = ContextVar("starting_shared_nats", default=False)


@dataclass(frozen=True)
class SharedNats:
    """Where a leased server listens, and the token that it takes."""

    url: str
    token: str


class SharedServers:
    """The servers of one process: those that nobody leases wait for the next test."""

    def __init__(self) -> None:
        self._free: list[NatsServer] = []
        self._all: list[NatsServer] = []
        self._folder: Path | None = None

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[SharedNats]:
        """A server without streams, of nobody else until the block ends."""
        server = self._free.pop() if self._free else await self._start()
        await _delete_streams(server)
        yield SharedNats(server.url, server.token)
        # After a failure it is not given to others: what still runs of the test may use it.
        self._free.append(server)

    def complaints(self) -> list[str]:
        """What the servers warned of, each in its order."""
        return [line for server in self._all for line in server.complaints()]

    def stop(self) -> None:
        """End all servers and delete what they stored."""
        for server in self._all:
            server.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._free, self._all, self._folder = [], [], None

    async def _start(self) -> NatsServer:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="shared-nats-"))
            # Of programs; workers of a test run end otherwise, and call `stop`.
            atexit.register(self.stop)
        store = self._folder / str(len(self._all))
        server = NatsServer(store, free_port(), secrets.token_hex(16), fsync=False)
        with _announced():
            await server.start()
        server.keep_account_folder()
        self._all.append(server)
        return server


_servers = SharedServers()
shared_nats = _servers.lease
"""`async with shared_nats() as nats`: a lease of this process's servers."""
stop_shared_nats = _servers.stop
shared_nats_complaints = _servers.complaints


def broker_for(
    node: pytest.Item | pytest.Collector, folder: Path
) -> AbstractAsyncContextManager[NatsServer | SharedNats]:
    """A lease; under the marker `own_broker` a server that the test may kill, freeze and fill."""
    return run_nats(folder) if node.get_closest_marker("own_broker") else shared_nats()


def broker_for_service(
    node: pytest.Item | pytest.Collector, folder: Path
) -> AbstractAsyncContextManager[NatsServer | SharedNats]:
    """The same for a service that starts processes: its tests are in the tier `test`."""
    return broker_for(node, folder)


def starts_shared_nats() -> bool:
    """Whether the process that is being started is a shared server."""
    return _starting.get()


@contextmanager
def _announced() -> Iterator[None]:
    token = _starting.set(True)
    try:
        yield
    finally:
        _starting.reset(token)


async def _delete_streams(server: NatsServer) -> None:
    # The server removes folders of deleted streams in the background. Until one is gone, deleting a
    # stream of the same name fails without an error, and the next stream has its messages.
    await eventually(lambda: not any(map(_is_going, server.stream_folders())), within=60)
    client = await nats.connect(server.url, token=server.token)
    stream_manager: JetStreamContext = client.jetstream()
    for stream in await stream_manager.streams_info():
        await stream_manager.delete_stream(str(stream.config.name))
    await client.close()
    await eventually(lambda: not server.stream_folders(), within=60)


def _is_going(folder: str) -> bool:
    return folder.startswith(".")
