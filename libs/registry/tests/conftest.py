import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
import pytest_asyncio
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import ReadModel
from modelmill_registry.store import FolderStore
from modelmill_registry.verifying_store import VerifyingStore
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.shared_nats import SharedNats, broker_for
from moto.server import ThreadedMotoServer

sys.path.append(str(Path(__file__).parent))

from registry_support.places import BucketPlace, FolderPlace, Place


@pytest.fixture(scope="session")
def s3_client() -> Iterator[Any]:
    """A real HTTP server in this process; the environment says where, as a user's would."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield boto3.client("s3")
    server.stop()


@pytest.fixture
def bucket_place(s3_client: Any, tmp_path: Path) -> BucketPlace:
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=bucket)
    return BucketPlace(s3_client, bucket, tmp_path / "cache")


@pytest.fixture
def folder_place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "store")


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.tier("test"))])
def place(request: pytest.FixtureRequest) -> Place:
    """Every form of the store in turn: what takes this fixture is part of their contract."""
    name = {"folder": "folder_place", "s3": "bucket_place"}[request.param]
    found: Place = request.getfixturevalue(name)
    return found


@pytest.fixture
def store(place: Place) -> VerifyingStore:
    return place.open()


@pytest.fixture
def folder_store(folder_place: FolderPlace) -> FolderStore:
    return folder_place.open()


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
async def nats(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[NatsServer | SharedNats]:
    async with broker_for(request.node, tmp_path / "nats") as server:
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
        async with asyncio.timeout(60):
            for model in models:
                await model.ready.wait()

    yield start
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)
