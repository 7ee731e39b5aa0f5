"""Inference as a process of its own beside a broker, one model loaded: nothing else in the way."""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from modelmill.inference.v1.inference_service_pb2 import LoadModelRequest
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import SHARED_TENANT
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.store import FolderStore
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import SECRET, running_service, service_settings

from tests.bench.built_model import FORM

VERSION = "mv-bench"
LOAD_SECONDS = 120.0


@dataclass(frozen=True)
class Alone:
    """A service that answers; its model is loaded and warm."""

    address: str
    metrics_url: str
    pid: int
    secret: str = SECRET


@asynccontextmanager
async def inference_alone(folder: Path, **settings: str) -> AsyncIterator[Alone]:
    """Serve the build in `folder` to all tenants until the block ends."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        async with run_nats(root / "nats") as nats:
            given = service_settings(nats, root)
            context = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
            manifest = FolderStore(Path(given["artifact_root"])).commit(
                folder, kind="model", form=FORM
            )
            ready = ModelReady(
                version_id=VERSION,
                tenant=SHARED_TENANT,
                form=FORM,
                digest=manifest.digest,
                context_tokens=int(context),
            )
            async with Bus.connect(nats.url, nats.token, name="bench") as bus:
                await bus.publish(MODEL_READY, ready)
            async with running_service("inference", given | settings) as service:
                metrics = f"http://127.0.0.1:{service.ports['metrics']}/metrics"
                await _load(service.address)
                yield Alone(service.address, metrics, service.pid)


async def _load(address: str) -> None:
    async with open_channel(address, SECRET) as channel:
        request = LoadModelRequest(tenant=SHARED_TENANT, version_id=VERSION)
        with domain_errors():
            await InferenceServiceStub(channel).LoadModel(request, timeout=LOAD_SECONDS)
