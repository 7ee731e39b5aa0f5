"""A balancer as small as can be: connections go to replicas that say that they are ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import httpx

LOOK_SECONDS = 0.05


class Balancer:
    """Passes bytes on, and asks each replica again and again whether it is ready."""

    def __init__(self) -> None:
        self.port = 0
        self.ready: list[int] = []
        """Ports of replicas that take connections."""
        self._replicas: list[int] = []
        self._turns = count()
        self._passing: set[asyncio.Task[None]] = set()

    def add(self, port: int) -> None:
        """A replica to be watched; one that ended stays unready."""
        self._replicas.append(port)

    async def serve(self) -> asyncio.Server:
        """Take connections."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def watch(self) -> None:
        """Ask all of them, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask all of them once."""
        async with httpx.AsyncClient(timeout=1) as client:
            for port in self._replicas:
                is_ready = await _is_ready(client, port)
                if is_ready and port not in self.ready:
                    self.ready.append(port)
                elif not is_ready and port in self.ready:
                    self.ready.remove(port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self.ready[next(self._turns) % len(self.ready)]
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(_pass_on(reader, back_writer), _pass_on(back_reader, writer))


async def _is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def balancer(*, looks_by_itself: bool = True) -> AsyncIterator[Balancer]:
    """Runs until the block ends.

    Args:
        looks_by_itself: otherwise it looks when it is told to: as seldom as can be.
    """
    balancing = Balancer()
    server = await balancing.serve()
    watching = asyncio.create_task(balancing.watch()) if looks_by_itself else None
    try:
        yield balancing
    finally:
        if watching is not None:
            watching.cancel()
        server.close()
