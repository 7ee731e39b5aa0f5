"""A whole stack that serves one model, as `mill up` would run it, and what it costs in CPU."""

import asyncio
import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_cli.gateway import DEFAULT_TENANT, connect_locally, local_token
from modelmill_cli.stack import Stack, StackOptions, running_stack
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_registry.store import FolderStore
from modelmill_testkit.ports import free_port

from tests.bench.built_model import FORM
from tests.bench.harness import WORK_FOLDER

ALIAS = "bench"
SERVICES = ("gateway", "moderation", "data_prep", "trainer", "optimizer_builder", "inference")


@dataclass(frozen=True)
class Serving:
    """A running stack, its model loaded and warm."""

    port: int
    token: str
    version_id: str
    stack: Stack

    def cpu_seconds(self) -> dict[str, float]:
        """CPU taken so far, by process; children (the engine) under "<name> children"."""
        taken = {}
        for name, supervised in self.stack.processes.items():
            process = psutil.Process(supervised.pid)
            taken[name] = _own_seconds(process)
            below = sum(_own_seconds(child) for child in process.children(recursive=True))
            if below:
                taken[f"{name} children"] = below
        return taken


@asynccontextmanager
async def serving(
    name: str, folder: Path, *, overrides: Mapping[str, str] | None = None, load: bool = True
) -> AsyncIterator[Serving]:
    """Start the stack on a throw-away state folder and serve `folder` until the block ends.

    Args:
        name: of its log in build/bench/.
        folder: an OpenVINO build.
        overrides: settings of services, by their full names.
        load: bring the model up; without it only the catalogue knows it.
    """
    options = StackOptions(
        http_port=free_port(), log_level="WARNING", overrides=dict(overrides or {})
    )
    WORK_FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        (WORK_FOLDER / f"{name}.log").open("w") as log,
    ):
        state = StateFolder(Path(place) / "state")

        def write_line(process: str, line: str) -> None:
            print(process, line, file=log, flush=True)

        async with running_stack(state, options, write_line) as stack:
            version_id = await _announce(state, stack.runtime, folder)
            if load:
                with connect_locally(state, stack.runtime.http_url) as client:
                    await asyncio.to_thread(client.aliases.set, ALIAS, version_id=version_id)
            yield Serving(options.http_port, local_token(state), version_id, stack)


async def _announce(state: StateFolder, runtime: Runtime, folder: Path) -> str:
    """File the build as the optimizer-builder does, without the job."""
    config = json.loads((folder / "config.json").read_text())
    context_tokens = int(config["max_position_embeddings"])
    manifest = await asyncio.to_thread(
        FolderStore(state.artifacts).commit,
        folder,
        kind="model",
        form=FORM,
        attributes={"context_tokens": context_tokens},
    )
    version_id = f"mv-bench-{secrets.token_hex(4)}"
    ready = ModelReady(
        version_id=version_id,
        base_version_id=version_id,
        tenant=DEFAULT_TENANT,
        name=ALIAS,
        form=FORM,
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        context_tokens=context_tokens,
    )
    ready.created_at.GetCurrentTime()
    async with Bus.connect(runtime.nats_url, runtime.identity("cli"), name="cli") as bus:
        await bus.publish(MODEL_READY, ready, msg_id=version_id)
    return version_id


def _own_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
