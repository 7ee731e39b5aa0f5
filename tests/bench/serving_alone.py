"""The inference service and a broker, nothing before it: one model, loaded, asked over gRPC."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from jobs.bus import Bus
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from registry.store import FolderStore
from service_kit.errors import NotFoundError
from service_kit.grpc_client import domain_errors, open_channel
from testkit.nats_server import run_nats
from testkit.service_process import SECRET, running_service, service_settings
from testkit.waiting import eventually

from tests.bench.figures import Figures
from tests.bench.serving import DEFAULT_TENANT, announce
from tests.bench.worker import Worker

RATE = "tokens/s"
LOAD_SECONDS = 120.0
SERVICE = "inference"


@dataclass(frozen=True)
class InferenceAlone:
    """A running service, its model loaded and warm."""

    address: str
    version_id: str
    pid: int

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU taken so far by the service, and by the engine below it."""
        process = psutil.Process(self.pid)
        below = sum(_seconds(child) for child in process.children(recursive=True))
        return _seconds(process), below

    async def turn(
        self, client: Worker, prompts: Sequence[str], in_flight: int, new_tokens: int
    ) -> tuple[Figures, list[float]]:
        """One turn: rate and CPU, and the seconds of each request. `client` is an `rpc_load`."""
        service, engine = self.cpu_seconds()
        answer = await client.ask(
            address=self.address,
            secret=SECRET,
            tenant=DEFAULT_TENANT,
            version_id=self.version_id,
            prompts=list(prompts),
            in_flight=in_flight,
            max_new_tokens=new_tokens,
        )
        service_after, engine_after = self.cpu_seconds()
        tokens, seconds = answer["tokens"], answer["seconds"]
        figures = {
            RATE: tokens / seconds,
            "queries/s": len(prompts) / seconds,
            "us service": (service_after - service) / tokens * 1e6,
            "us engine": (engine_after - engine) / tokens * 1e6,
            "us client": answer["cpu_seconds"] / tokens * 1e6,
            "messages": answer["messages"] / tokens,
        }
        return figures, answer["latencies"]


@asynccontextmanager
async def inference_alone(folder: Path) -> AsyncIterator[InferenceAlone]:
    """Serve the build in `folder`, with the service's own defaults, until the block ends."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        store = FolderStore(root / "artifacts")
        async with (
            run_nats(root) as nats,
            Bus.connect(nats.url, nats.token, name="bench") as bus,
            running_service(
                SERVICE, service_settings(nats, root) | {"log_level": "WARNING"}
            ) as service,
        ):
            version_id = await announce(store, bus, folder)
            await _load(service.address, version_id)
            yield InferenceAlone(service.address, version_id, service.pid)
            await service.stop()


async def _load(address: str, version_id: str) -> None:
    """Once the service has heard of the version."""
    request = pb.LoadModelRequest(tenant=DEFAULT_TENANT, version_id=version_id)
    async with open_channel(address, SECRET) as channel:
        stub = pb_grpc.InferenceServiceStub(channel)

        async def loaded() -> bool:
            try:
                with domain_errors():
                    await stub.LoadModel(request, timeout=LOAD_SECONDS)
            except NotFoundError:
                return False
            return True

        await eventually(loaded)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
