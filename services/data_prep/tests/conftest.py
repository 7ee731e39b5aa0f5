"""The whole service on a real gRPC socket, beside a real broker and a real store."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady, FileState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY
from modelmill_data_prep.main import serve
from modelmill_data_prep.settings import Settings
from modelmill_registry.store import FolderStore
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.job_end import job_end
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.ports import free_port
from modelmill_testkit.service_process import SECRET
from modelmill_testkit.shared_nats import SharedNats, broker_for_service
from modelmill_testkit.waiting import eventually

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[3] / "libs" / "documents" / "tests"))


@dataclass
class DataPrep:
    """A running service and what a test looks at around it."""

    stub: Any
    address: str
    secret: str
    bus: Bus
    nats: NatsServer | SharedNats
    store: FolderStore
    root: Path

    async def upload(
        self,
        content: bytes | Sequence[object],
        *,
        tenant: str = "acme",
        filename: str = "rows.jsonl",
        chunk_bytes: int = 100_000,
    ) -> FileState:
        """Upload bytes, or rows as JSONL."""
        if not isinstance(content, bytes):
            content = b"".join(json.dumps(row).encode() + b"\n" for row in content)
        header = pb.UploadHeader(tenant=tenant, filename=filename, purpose="fine-tune")
        requests = [pb.UploadFileRequest(header=header)] + [
            pb.UploadFileRequest(chunk=content[start : start + chunk_bytes])
            for start in range(0, len(content), chunk_bytes)
        ]
        return await self.upload_requests([*requests, pb.UploadFileRequest(end=pb.FileEnd())])

    async def upload_requests(self, requests: Sequence[pb.UploadFileRequest]) -> FileState:
        with domain_errors():
            response = await self.stub.UploadFile(iter(requests), timeout=60)
        file: FileState = response.file
        return file

    async def get_file(self, file_id: str, *, tenant: str = "acme") -> FileState:
        request = pb.GetFileRequest(tenant=tenant, file_id=file_id)
        with domain_errors():
            response = await self.stub.GetFile(request, timeout=60)
        file: FileState = response.file
        return file

    async def list_ids(self, *, tenant: str = "acme") -> list[str]:
        with domain_errors():
            response = await self.stub.ListFiles(pb.ListFilesRequest(tenant=tenant), timeout=60)
        return [file.file_id for file in response.files]

    async def download(self, file_id: str, *, tenant: str = "acme") -> bytes:
        request = pb.DownloadFileRequest(tenant=tenant, file_id=file_id)
        with domain_errors():
            stream = self.stub.DownloadFile(request, timeout=60)
            return b"".join([response.chunk async for response in stream])

    async def create(
        self, file_id: str, *, tenant: str = "acme", key: str = "", **spec: Any
    ) -> pb.CreateDatasetResponse:
        """Ask for a dataset of question and answer columns, unless `spec` says otherwise."""
        mapping = {"user_template": "{q}", "answer_template": "{a}"}
        request = pb.CreateDatasetRequest(
            tenant=tenant,
            requested_by="tester",
            idempotency_key=key,
            spec=pb.DatasetSpec(file_id=file_id, **({"mapping": mapping} | spec)),
        )
        with domain_errors():
            response: pb.CreateDatasetResponse = await self.stub.CreateDataset(request, timeout=60)
        return response

    async def ended(self, job_id: str) -> JobState:
        """The job's last state, once it has one that stays and its dataset is announced."""
        return await job_end(self.bus, job_id, within=200)

    async def announced(self) -> DatasetReady:
        """The last dataset.ready; it follows the success of its job by a moment."""
        stored = await eventually(lambda: self.bus.last(DATASET_READY, DatasetReady))
        assert stored is not None
        return stored.body


StartDataPrep = Callable[..., AbstractAsyncContextManager[DataPrep]]


@pytest_asyncio.fixture
async def broker(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[NatsServer | SharedNats]:
    async with broker_for_service(request.node, tmp_path / "nats") as nats:
        yield nats


@pytest.fixture
def start_data_prep(broker: NatsServer | SharedNats, tmp_path: Path) -> StartDataPrep:
    """Starts the service beside a broker, with the given settings changed."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[DataPrep]:
        port = free_port()
        chosen = Settings(
            **{
                "nats_url": broker.url,
                "nats_token": broker.token,
                "service_secret": SECRET,
                "artifact_root": tmp_path / "artifacts",
                "work_root": tmp_path / "work",
                "grpc_address": f"127.0.0.1:{port}",
                **changes,
            }
        )
        stopping = asyncio.Event()
        service = asyncio.create_task(serve(chosen, stopping))
        try:
            async with (
                Bus.connect(broker.url, broker.token, name="test") as bus,
                open_channel(chosen.grpc_address, SECRET) as channel,
            ):
                await asyncio.wait_for(channel.channel_ready(), 60)
                stub = pb_grpc.DataPrepServiceStub(channel)
                store = FolderStore(chosen.artifact_disk)
                yield DataPrep(stub, chosen.grpc_address, SECRET, bus, broker, store, tmp_path)
        finally:
            stopping.set()
            await service

    return start


@pytest_asyncio.fixture
async def data_prep(start_data_prep: StartDataPrep) -> AsyncIterator[DataPrep]:
    """The service in role serve: it takes files and jobs, and nobody works on them."""
    async with start_data_prep(role="serve") as running:
        yield running


@pytest_asyncio.fixture
async def working_data_prep(start_data_prep: StartDataPrep) -> AsyncIterator[DataPrep]:
    """The service in both roles."""
    async with start_data_prep() as running:
        yield running
