"""The partition is one: both ends stay connected and hear nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.tcp_proxy import TcpProxy


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(100):
        writer.write(chunk)
    writer.close()


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[TcpProxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A proxy before an echo, and a connection through both."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, TcpProxy.running(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield proxy, reader, writer
        finally:
            writer.close()


async def test_what_is_said_during_a_partition_arrives_after_it():
    async with talking() as (proxy, reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.blackhole()
        writer.write(b"during")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        proxy.heal()

        assert await asyncio.wait_for(reader.readexactly(6), 20) == b"during"


async def test_what_is_cut_off_ends_and_the_next_connection_goes_through():
    async with talking() as (proxy, reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.blackhole()
        writer.write(b"lost")
        proxy.cut()
        proxy.heal()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(4), 20)

        again_reader, again = await asyncio.open_connection("127.0.0.1", proxy.port)
        again.write(b"again")
        assert await asyncio.wait_for(again_reader.readexactly(5), 20) == b"again"
        again.close()
