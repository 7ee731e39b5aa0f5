"""A running inference service on real sockets, with what a test does to it and sees of it."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import (
    ModelReady,
    ModelRetired,
    ModelServing,
    ServingState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY, MODEL_RETIRED, MODEL_SERVING
from modelmill_inference.adapters.openvino import EXACT
from modelmill_inference.main import Running, inference_service
from modelmill_inference.settings import Settings
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.service_process import SECRET
from modelmill_testkit.waiting import eventually, once_available

ANSWER_SECONDS = 240.0
"""For an answer or a load beside other tests: less would be told to admission, which refuses."""


@dataclass(frozen=True)
class Answer:
    """A whole generation, as a client saw it."""

    text: str
    pieces: int
    end: pb.GenerationEnd


@dataclass
class Service:
    stub: Any
    running: Running
    bus: Bus
    nats: NatsServer
    settings: Settings
    store: FolderStore

    def request(
        self,
        version_id: str,
        *,
        text: str = "",
        messages: list[tuple[str, str]] | None = None,
        tenant: str = "acme",
        **options: Any,
    ) -> pb.GenerateRequest:
        request = pb.GenerateRequest(
            tenant=tenant, model=version_id, options=pb.SamplingOptions(**options)
        )
        if messages is not None:
            messages = [ChatMessage(role=role, content=content) for role, content in messages]
            request.conversation.CopyFrom(pb.Conversation(messages=messages))
        else:
            request.text = text
        return request

    def stream(self, version_id: str, **wanted: Any) -> Any:
        return self.stub.Generate(self.request(version_id, **wanted), timeout=ANSWER_SECONDS)

    async def answer(self, version_id: str, **wanted: Any) -> Answer:
        with domain_errors():
            pieces = [piece async for piece in self.stream(version_id, **wanted)]
        return Answer("".join(p.text_delta for p in pieces), len(pieces), pieces[-1].end)

    async def load(self, version_id: str, *, tenant: str = "acme") -> pb.LoadModelResponse:
        request = pb.LoadModelRequest(tenant=tenant, version_id=version_id)
        with domain_errors():
            response: pb.LoadModelResponse = await self.stub.LoadModel(
                request, timeout=ANSWER_SECONDS
            )
        return response

    async def serving(self) -> dict[str, pb.ServedModel]:
        response = await self.stub.ListServing(pb.ListServingRequest(), timeout=60)
        return {model.version_id: model for model in response.models}

    async def in_flight(self, version_id: str) -> int:
        return (await self.serving())[version_id].in_flight

    async def announce(
        self,
        digest: str,
        *,
        form: str = "openvino-int8",
        tenant: str = "acme",
        version_id: str = "",
        parent: str = "",
    ) -> str:
        """Say on the bus that a version exists."""
        version_id = version_id or f"mv-{uuid.uuid4().hex}"
        model = ModelReady(
            version_id=version_id,
            tenant=tenant,
            form=form,
            digest=digest,
            parent_version_id=parent,
            context_tokens=512,
        )
        # Beside other tests a broker may not answer in time; the id makes a repeat the same.
        await once_available(lambda: self.bus.publish(MODEL_READY, model, msg_id=version_id))
        return version_id

    async def load_when_known(self, version_id: str) -> pb.LoadModelResponse:
        """Load it; the service may not have heard of it yet."""

        async def loaded() -> pb.LoadModelResponse | None:
            try:
                return await self.load(version_id)
            except NotFoundError:
                return None

        response = await eventually(loaded)
        assert response is not None
        return response

    async def served(self, digest: str) -> str:
        """A new version of that artifact, loaded."""
        version_id = await self.announce(digest)
        await self.load_when_known(version_id)
        return version_id

    async def retire(self, version_id: str, *, tenant: str = "acme") -> None:
        await self.bus.publish(MODEL_RETIRED, ModelRetired(version_id=version_id, tenant=tenant))

    async def said(self, version_id: str) -> list[ModelServing]:
        """What its loads came to, on the stream; that one had begun may be left out there."""
        facts = [stored.body async for stored in self.bus.replay([MODEL_SERVING])]
        loading = ServingState.SERVING_STATE_LOADING
        return [it for it in facts if it.version_id == version_id and it.state != loading]


def settings_for(nats: NatsServer, root: Path, **changes: Any) -> Settings:
    given = {
        "nats_url": nats.url,
        "nats_token": nats.token,
        "service_secret": SECRET,
        "artifact_root": root,
        "engine_properties": EXACT,
        "drain_seconds": 2.0,
        "transformers_spare": False,
    }
    return Settings(**(given | changes))


@asynccontextmanager
async def run_inference(nats: NatsServer, root: Path, **changes: Any) -> AsyncIterator[Service]:
    """The service in a task of this process; it must stop without an error."""
    settings = settings_for(nats, root, **changes)
    started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    stopping = asyncio.Event()

    async def serve() -> None:
        async with inference_service(settings) as running:
            started.set_result(running)
            await stopping.wait()

    async with Bus.connect(nats.url, nats.token, name="test") as bus, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve())
        running = await started
        async with open_channel(f"127.0.0.1:{running.grpc_port}", SECRET) as channel:
            stub = pb_grpc.InferenceServiceStub(channel)
            yield Service(stub, running, bus, nats, settings, FolderStore(root))
        stopping.set()


@asynccontextmanager
async def nats_and_inference(folder: Path, root: Path, **changes: Any) -> AsyncIterator[Service]:
    """A broker of its own and the service beside it."""
    async with run_nats(folder) as nats, run_inference(nats, root, **changes) as service:
        yield service


async def resting_cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process, once it has come to rest."""
    while True:
        before = sum(process.cpu_times()[:2])
        await asyncio.sleep(0.1)
        # One that has none of a busy machine's cores takes nothing either.
        if not wants_a_core(process) and sum(process.cpu_times()[:2]) == before:
            return before


def wants_a_core(process: psutil.Process) -> bool:
    """Whether a thread of it has work."""
    stats = Path(f"/proc/{process.pid}/task").glob("*/stat")
    try:
        return any(stat.read_text().rpartition(")")[2].split()[0] == "R" for stat in stats)
    except OSError:  # a thread had some, and has ended
        return True


async def least_cpu_seconds(
    process: psutil.Process, attempt: Callable[[], Awaitable[object]], *, enough: float
) -> float:
    """What an attempt costs a process, the least of several, until one costs less than `enough`.

    On a busy machine what is left may have been done before it was left.
    """
    least = math.inf
    for _ in range(10):
        before = await resting_cpu_seconds(process)
        await attempt()
        least = min(least, await resting_cpu_seconds(process) - before)
        if least < enough:
            break
    return least
