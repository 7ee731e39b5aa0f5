import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio
from jobs.bus import Bus
from registry.read_model import ReadModel
from registry.store import FolderStore
from testkit.nats_server import NatsServer, run_nats

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """Writes a folder with the given files; a new one at each call."""
    made = 0

    def write(files: Mapping[str, bytes]) -> Path:
        nonlocal made
        made += 1
        folder = tmp_path / f"folder-{made}"
        folder.mkdir()
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder

    return write


@pytest_asyncio.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with run_nats(tmp_path / "nats") as server:
        yield server


class Connect(Protocol):
    """Opens one more connection, as another process would; closed when the test ends."""

    async def __call__(self) -> Bus: ...


@pytest_asyncio.fixture
async def connect(nats: NatsServer) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def open_bus() -> Bus:
            return await stack.enter_async_context(
                Bus.connect(nats.url, nats.token, name="registry-tests")
            )

        yield open_bus


@pytest_asyncio.fixture
async def bus(connect: Connect) -> Bus:
    return await connect()


class Following(Protocol):
    """Runs read models until the test ends, and waits until each has caught up.

    The fixture asks for `connect` so that the models end before their connections do.
    """

    async def __call__(self, *models: ReadModel) -> None: ...


@pytest_asyncio.fixture
async def following(connect: Connect) -> AsyncIterator[Following]:
    tasks: list[asyncio.Task[None]] = []

    async def start(*models: ReadModel) -> None:
        tasks.extend(asyncio.create_task(model.run()) for model in models)
        async with asyncio.timeout(20):
            for model in models:
                await model.ready.wait()

    yield start
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)
