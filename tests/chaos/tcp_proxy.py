"""A TCP proxy on loopback that can fall silent: what a partition looks like from both ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 65536
ACCEPTING_TURNS = 5
"""Of the event loop, after which a connection that was accepted is served."""


class TcpProxy:
    """Forwards each connection to `target_port`, as long as it is not told to stop.

    While it is silent both ends keep their connections and hear nothing. What they send waits and
    arrives after `heal`, as TCP sends again what a broken network swallowed: late writes are part
    of what is tested.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, target_port: int) -> AsyncIterator["TcpProxy"]:
        """A proxy on a free port; all connections end with the block."""
        proxy = cls(target_port)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            await proxy._end()
            await server.wait_closed()

    @property
    def in_use(self) -> bool:
        """Whether anybody is connected."""
        return bool(self._writers)

    def blackhole(self) -> None:
        """Let nothing through, not even the end of a connection."""
        self._flowing.clear()

    def heal(self) -> None:
        """Let everything through that waited, and go on."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection; what waited is lost."""
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        """End every connection, also those that were accepted just before the last moment."""
        for _ in range(ACCEPTING_TURNS):
            await asyncio.sleep(0)
            while self._serving:
                self.cut()
                self.heal()
                await asyncio.wait(self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, back}
        self._writers |= pair
        try:
            await self._pump_both(reader, writer, there, back)
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _pump_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        """Until one side ends; the other then ends, too."""
        pumps = [
            asyncio.create_task(self._pump(reader, back)),
            asyncio.create_task(self._pump(there, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while True:
            try:
                chunk = await source.read(CHUNK)
            except ConnectionError:
                chunk = b""
            await self._flowing.wait()
            if not chunk:
                return
            try:
                sink.write(chunk)
                await sink.drain()
            except ConnectionError:
                return
