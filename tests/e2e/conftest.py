"""One real stack for the end-to-end tests: a broker, six processes, a tiny model."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from modelmill_bus.bus import Bus
from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import DEFAULT_TENANT, connect_locally, local_token
from modelmill_cli.stack import Stack, StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill
from modelmill_registry.aliases import AliasBook
from modelmill_service_kit.bus_access import NkeySeed
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAPPING = {
    "system_template": "Name the kind of thing.",
    "user_template": "{word}: {gloss}",
    "answer_template": "{label}",
}
HYPER_PARAMETERS = {
    "learning_rate": 0.01,
    "epochs": 3,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "lora_rank": 4,
}
SUBSCRIBER = Path(__file__).parents[2] / "deploy" / "demo" / "on_model_ready.py"
QUICK_CLAIMS = {"TRAINER_CLAIM_SECONDS": "3"}
"""A killed worker's job goes to another one this soon."""


@dataclass(frozen=True)
class Loop:
    """A running stack and the ways in that a user has."""

    state: StateFolder
    stack: Stack
    client: Modelmill
    openai: "AsyncOpenAI"
    base_version_id: str
    log: list[str]
    models_heard: list[str] = field(default_factory=list)
    """Lines of the demo's subscriber to model.ready, which listens from the start."""

    async def job_ends(self, job_id: str, *, within: float = 500.0) -> dict[str, Any]:
        """The job's record once it has ended, however it ended."""

        async def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = dict(await asyncio.to_thread(self.client.jobs.retrieve, job_id))
            return job if job["status"] in ("succeeded", "failed", "cancelled") else None

        job = await eventually(ended, within=within)
        assert job is not None
        return job

    async def make_dataset(self, rows: Path, **spec: Any) -> str:
        """Upload a file and make a dataset of it; returns the dataset's id."""
        uploaded = await self.openai.files.create(file=rows, purpose="fine-tune")
        body: dict[str, Any] = {
            "file_id": uploaded.id,
            "name": rows.stem,
            "mapping": MAPPING,
            **spec,
        }
        accepted = await asyncio.to_thread(lambda: self.client.datasets.create(**body))
        job = await self.job_ends(accepted["job_id"])
        assert job["status"] == "succeeded", job

        async def is_ready() -> bool:
            """Announced, which follows from the success and so comes a moment after it."""
            dataset = await asyncio.to_thread(self.client.datasets.retrieve, accepted["id"])
            return bool(dataset["status"] == "ready")

        await eventually(is_ready)
        return str(accepted["id"])

    async def pair_up(self, name: str, small: str, large: str, threshold: float) -> None:
        """Let the name be a cascade of two versions."""
        runtime = self.stack.runtime
        options = {"kind": "cascade", "small": small, "threshold": threshold}
        identity = runtime.identity("gateway")
        async with Bus.connect(runtime.nats_url, identity, name="gateway") as bus:
            await AliasBook(bus).move(DEFAULT_TENANT, name, large, moved_by="e2e", options=options)

    async def build_of(self, adapter_version_id: str) -> dict[str, Any]:
        """The record of the build that the optimizer-builder ordered by itself, once it ended."""

        async def ordered() -> str | None:
            builds = self.client.jobs.list(kind="optimize")
            for job in await asyncio.to_thread(lambda: [*builds]):
                if job["spec"].get("source_version_id") == adapter_version_id:
                    return str(job["id"])
            return None

        async def is_announced() -> bool:
            """Follows from the success, and so comes a moment after it."""
            models = await asyncio.to_thread(self.client.models.list)
            return job["result"]["version_id"] in [model["id"] for model in models]

        job_id = await eventually(ordered)
        assert job_id is not None
        job = await self.job_ends(job_id)
        if job["status"] == "succeeded":
            await eventually(is_announced)
        return job


def write_rows(file: Path, count: int, *, bad: int = 0) -> Path:
    """A learnable task of two kinds, `count` good rows and `bad` ones that are not JSON."""
    with file.open("w") as rows:
        for number in range(count):
            kind, what = (("animal", "barks"), ("plant", "grows"))[number % 2]
            row = {"word": f"thing {number}", "gloss": f"something that {what}", "label": kind}
            rows.write(json.dumps(row) + "\n")
        rows.writelines("{not json\n" for _ in range(bad))
    return file


async def train(
    loop: Loop, dataset_id: str, headers: dict[str, str] | None = None, **more: Any
) -> Any:
    """Order a fine-tuning job on the tiny base."""
    return await loop.openai.fine_tuning.jobs.create(
        model=loop.base_version_id,
        training_file=dataset_id,
        suffix="kinds",
        extra_body={"hyperparameters": HYPER_PARAMETERS | more},
        extra_headers=headers or {},
    )


async def events_of(loop: Loop, subject: str) -> list[Any]:
    """Everything the stream holds on a subject."""
    runtime = loop.stack.runtime
    current = asyncio.Event()
    found: list[Any] = []
    async with Bus.connect(runtime.nats_url, runtime.identity("cli"), name="cli") as bus:

        async def read() -> None:
            async for stored in bus.follow([subject], on_current=current.set):
                found.append(stored.body)

        reading = asyncio.create_task(read())
        await asyncio.wait_for(current.wait(), 60)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return found


@asynccontextmanager
async def subscriber(url: str, identity: NkeySeed) -> AsyncIterator[list[str]]:
    """`deploy/demo/on_model_ready.py` as a process; its lines as they come."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        SUBSCRIBER,
        env={**os.environ, "NATS_URL": url, "NATS_NKEY_SEED_FILE": str(identity.file)},
        stdout=PIPE,
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(line.decode())

    reading = asyncio.create_task(read())
    try:
        yield lines
    finally:
        process.kill()
        await process.wait()
        await reading


@asynccontextmanager
async def running_loop(folder: Path, options: StackOptions) -> AsyncIterator[Loop]:
    """A stack of its own below `folder`, with the tiny base model brought in."""
    from openai import AsyncOpenAI

    state = StateFolder(folder / "state")
    base = make_tiny_llama(folder / "base")
    log: list[str] = []
    async with (
        running_stack(state, options, lambda name, line: log.append(f"{name} {line}")) as up,
        subscriber(up.runtime.nats_url, up.runtime.identity("observer")) as heard,
    ):
        version = await bring_in(state, base, name="tiny", tenant=DEFAULT_TENANT)
        url = up.runtime.http_url
        openai = AsyncOpenAI(base_url=f"{url}/v1", api_key=local_token(state), max_retries=0)
        with connect_locally(state, url) as client:
            async with openai:
                yield Loop(state, up, client, openai, version.version_id, log, heard)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loop(tmp_path_factory) -> AsyncIterator[Loop]:
    # With certificates, so that every call of a service is to one that proves who it is.
    options = StackOptions(http_port=free_port(), tls=True, overrides=QUICK_CLAIMS)
    async with running_loop(tmp_path_factory.mktemp("loop"), options) as running:
        yield running
