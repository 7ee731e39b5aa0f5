"""A broker that comes and goes, once real and once in memory, behind one face."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import file_state
from modelmill_testkit.fake_nats.broker import FakeBroker
from modelmill_testkit.nats_server import NatsServer, run_nats

from tests.machine import fake_bus

FILE = file_state("file-1")


async def put(bus: Bus, number: int, subject: str = FILE) -> int:
    """Store a number under a subject; its sequence."""
    return await bus.publish(subject, FileState(size_bytes=number))


class Stage(Protocol):
    """What contract tests do to a broker."""

    async def connect(self) -> Bus:
        """Another process's bus."""

    def pause(self) -> None:
        """Freeze it: connections stay, nothing is answered."""

    def resume(self) -> None:
        """Let it go on."""

    def kill(self) -> None:
        """End it as power loss would."""

    async def start(self) -> None:
        """Start it again on the same store."""


class RealStage:
    """A nats-server."""

    def __init__(self, server: NatsServer, closing: AsyncExitStack) -> None:
        self._server = server
        self._closing = closing
        self.pause, self.resume = server.pause, server.resume
        self.kill, self.start = server.kill, server.start

    async def connect(self) -> Bus:
        """Another process's bus."""
        connected = Bus.connect(self._server.url, self._server.token, name="tester")
        return await self._closing.enter_async_context(connected)


class FakeStage:
    """The broker in memory."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self.pause, self.resume, self.kill = broker.pause, broker.resume, broker.kill

    async def connect(self) -> Bus:
        """Another process's bus."""
        bus, _ = await fake_bus.connect(self._broker, "tester")
        return bus

    async def start(self) -> None:
        """Start it again."""
        self._broker.start()


@asynccontextmanager
async def stage_of(kind: str, folder: Path) -> AsyncIterator[Stage]:
    """A stage of that kind, "real" or "fake", gone when the block ends."""
    async with AsyncExitStack() as closing:
        if kind == "fake":
            yield FakeStage(FakeBroker(asyncio.get_running_loop(), latencies=(0.0,)))
        else:
            server = await closing.enter_async_context(run_nats(folder))
            yield RealStage(server, closing)
