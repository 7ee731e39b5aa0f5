"""The whole service on a real gRPC socket, beside a real broker, a real store and a tiny model."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import pytest_asyncio
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill.trainer.v1 import trainer_service_pb2_grpc as pb_grpc
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import DATASET_READY, MODEL_READY, job_state
from modelmill_registry.model_folder import import_model
from modelmill_registry.store import FolderStore
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.job_end import job_end
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.ports import free_port
from modelmill_testkit.service_process import SECRET
from modelmill_testkit.shared_nats import SharedNats, broker_for_service
from modelmill_token_files.token_file import TrainingOrder
from modelmill_token_files.token_folder import TokenFolder
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from modelmill_token_files.tokens_plan import TOKEN_ROWS, TokensPlan
from modelmill_tokenization.bounded.here import try_tokenizer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.main import serve
from modelmill_trainer.settings import Settings

sys.path.append(str(Path(__file__).parent))

CHOICES = ("animal", "plant", "food")
CLUES = {"animal": "paw", "plant": "leaf", "food": "salt"}
QUICK = {
    **{"learning_rate": 0.01, "epochs": 1, "batch_size": 8},
    **{"gradient_accumulation_steps": 2, "lora_rank": 8},
}
"""A tiny random model learns the toy task with these."""


def toy_rows(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Rows whose answer follows from one word of the question."""
    rows = []
    for number in range(first, first + count):
        answer = CHOICES[number % len(CHOICES)]
        turns = [
            ("system", "Name the kind of thing."),
            ("user", f"{number} has {CLUES[answer]}"),
            ("assistant", answer),
        ]
        messages = [{"role": role, "content": content} for role, content in turns]
        rows.append({"messages": messages, "row": number + 1})
    return rows


def write_splits(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """A dataset's folder; splits that are not given are empty."""
    folder.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        lines = [json.dumps(row) + "\n" for row in splits.get(split, ())]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder


def write_tokens(
    folder: Path, base: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]], **changes: Any
) -> TokensPlan:
    """The token files of a dataset's splits, as data-prep makes them for this base model."""
    tokenizer = ChatTokenizer.load(base)
    with TokenFolder(folder) as files:
        for split, rows in splits.items():
            examples = [tokenizer.encode_example(row["messages"]) for row in rows]
            columns: list[list[Any]] = [
                [example.ids for example in examples],
                [[example.answer_start] for example in examples],
                [[len(example.ids)] for example in examples],
                [row["row"] for row in rows],
                [
                    tokenizer.encode_answer(row["rejected"]) if "rejected" in row else None
                    for row in rows
                ],
            ]
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(columns, TOKEN_ROWS, strict=True)
            ]
            files.append(split, pa.RecordBatch.from_arrays(arrays, schema=TOKEN_ROWS))
        given = {"tokenizer": tokenizer_digest(base), "model": "tiny"} | changes
        return files.finish(TokensPlan(max_tokens=512, pack_tokens=2048, **given))


def write_order(folder: Path, rows: Sequence[int], *, repeats: bool) -> None:
    """The order of a dataset's train split, in which every row is as hard."""
    count = len(rows)
    hard, tiers = np.zeros(count, np.float32), np.zeros(count, np.int8)
    TrainingOrder("staged", repeats, np.array(rows, np.int64), hard, tiers).write(folder)


@dataclass
class Trainer:
    """The service, and what a test looks at around it."""

    stub: Any
    bus: Bus
    nats: NatsServer | SharedNats
    store: FolderStore
    root: Path
    jobs: Any = None
    """Stub of JobService on the same server."""

    @asynccontextmanager
    async def serving(self, **changes: Any) -> AsyncIterator[None]:
        """The service with these settings, in this process; told to stop when the block ends."""
        settings = make_settings(self.nats, self.root, **changes)
        stopping = asyncio.Event()
        service = asyncio.create_task(serve(settings, stopping))
        try:
            async with open_channel(settings.grpc_address, SECRET) as channel:
                await asyncio.wait_for(channel.channel_ready(), 60)
                self.stub = pb_grpc.TrainerServiceStub(channel)
                self.jobs = JobServiceStub(channel)
                yield
        finally:
            stopping.set()
            await service

    async def import_base(self, *, tenant: str = "acme", name: str = "tiny") -> ModelReady:
        folder = make_tiny_llama(self.root / f"base-{name}")
        return await import_model(
            self.bus, self.store, folder, tenant=tenant, name=name, try_out=try_tokenizer
        )

    async def announce_model(self, **fields: Any) -> ModelReady:
        ready = ModelReady(**{"tenant": "acme", "name": "other", "context_tokens": 512} | fields)
        await self.bus.publish(MODEL_READY, ready, msg_id=ready.version_id)
        return ready

    async def add_dataset(
        self,
        *,
        dataset_id: str = "ds-toy",
        train: Sequence[Mapping[str, Any]] = (),
        valid: Sequence[Mapping[str, Any]] = (),
        test: Sequence[Mapping[str, Any]] = (),
    ) -> DatasetReady:
        """A dataset of toy rows, committed and announced."""
        folder = write_splits(
            self.root / f"rows-{dataset_id}", {"train": train, "valid": valid, "test": test}
        )
        manifest = await asyncio.to_thread(
            self.store.commit,
            folder,
            kind="dataset",
            form="chat-jsonl",
            attributes={"choices": list(CHOICES)},
        )
        counts = {"train": len(train), "valid": len(valid), "test": len(test)}
        ready = DatasetReady(
            dataset_id=dataset_id, tenant="acme", digest=manifest.digest, counts=counts
        )
        await self.bus.publish(DATASET_READY, ready, msg_id=dataset_id)
        return ready

    async def create(
        self,
        spec: pb.TrainSpec,
        *,
        tenant: str = "acme",
        key: str = "",
    ) -> pb.CreateFineTuningJobResponse:
        request = pb.CreateFineTuningJobRequest(
            tenant=tenant, requested_by="tester", idempotency_key=key, spec=spec
        )
        with domain_errors():
            response: pb.CreateFineTuningJobResponse = await self.stub.CreateFineTuningJob(
                request, timeout=60
            )
        return response

    async def state(self, job_id: str) -> JobState:
        """The job's last state; an empty one before the first claim."""
        stored = await self.bus.last(job_state(job_id), JobState)
        return stored.body if stored else JobState()

    async def ended(self, job_id: str) -> JobState:
        """The job's last state, once it has one that stays and its version is announced."""
        return await job_end(self.bus, job_id, within=200)

    async def announced(self, job_id: str) -> list[ModelReady]:
        """Every model.ready of a job that the stream holds."""
        return [
            stored.body
            async for stored in self.bus.replay([MODEL_READY])
            if stored.body.job_id == job_id
        ]


def make_settings(nats: NatsServer | SharedNats, root: Path, **changes: Any) -> Settings:
    """Settings of a service on this broker and under this folder."""
    return Settings(
        **{
            "nats_url": nats.url,
            "nats_token": nats.token,
            "service_secret": SECRET,
            "artifact_root": root / "artifacts",
            "work_root": root / "work",
            "grpc_address": f"127.0.0.1:{free_port()}",
            "threads": 1,
            **changes,
        }
    )


@pytest_asyncio.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Trainer]:
    """Broker, bus, store and scratch folder; a test starts the service in it with `serving`."""
    async with (
        broker_for_service(request.node, tmp_path / "nats") as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
    ):
        yield Trainer(None, bus, nats, FolderStore(tmp_path / "artifacts"), tmp_path)


@pytest_asyncio.fixture
async def trainer(site: Trainer) -> AsyncIterator[Trainer]:
    """The service in role serve: it takes jobs, and nobody works on them."""
    async with site.serving(role="serve"):
        yield site


@pytest_asyncio.fixture
async def working_trainer(site: Trainer) -> AsyncIterator[Trainer]:
    """The service in both roles."""
    async with site.serving():
        yield site


@pytest.fixture(name="toy_rows", scope="session")
def toy_rows_fixture() -> Callable[..., list[dict[str, Any]]]:
    return toy_rows


@pytest.fixture(name="write_splits", scope="session")
def write_splits_fixture() -> Callable[..., Path]:
    return write_splits


@pytest.fixture(name="write_tokens", scope="session")
def write_tokens_fixture() -> Callable[..., TokensPlan]:
    return write_tokens


@pytest.fixture(name="write_order", scope="session")
def write_order_fixture() -> Callable[..., None]:
    return write_order


@pytest.fixture
def quick() -> dict[str, Any]:
    return dict(QUICK)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model, as `import_model` takes it."""
    return make_tiny_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture
def dataset_of_job() -> Callable[[str], str]:
    """The id of the dataset that a dataset job will make."""
    return lambda job_id: derived_id("ds", job_id)
