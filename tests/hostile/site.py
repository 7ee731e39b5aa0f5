"""A real inference service with one good model and forty hostile ones."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from grpc.aio import AioRpcError
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.store import FolderStore
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.hostile_models import HOSTILE
from modelmill_testkit.models import make_tiny_llama, make_tiny_openvino
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import SECRET, running_service, service_settings

FORM = "openvino-int8"
GOOD, GOOD_TENANT = "mv-good", "acme"
RIVALS = ("rival-0", "rival-1", "rival-2", "rival-3")
CHILD = "modelmill_tokenization.bounded.child"
LOAD_SECONDS = 120.0
OF_THE_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"),
)


@dataclass(frozen=True)
class Site:
    """The service, and who the hostile models belong to."""

    stub: Any
    pid: int
    hostile: dict[str, str]
    """Tenant by version."""

    async def chat(self, tenant: str, version_id: str, content: str, tokens: int = 4) -> str:
        """How a chat ends: "answered" or the word of its status."""
        conversation = pb.Conversation(messages=[ChatMessage(role="user", content=content)])
        options = pb.SamplingOptions(max_new_tokens=tokens)
        request = pb.GenerateRequest(tenant=tenant, model=version_id, options=options)
        request.conversation.CopyFrom(conversation)
        try:
            async for _ in self.stub.Generate(request, timeout=LOAD_SECONDS):
                pass
        except AioRpcError as error:
            return error.code().name
        return "answered"

    async def count(self, tenant: str, version_id: str, content: str) -> str:
        """The same of a prompt that is only rendered and encoded."""
        request = pb.CountTokensRequest(tenant=tenant, model=version_id)
        conversation = pb.Conversation(messages=[ChatMessage(role="user", content=content)])
        request.conversation.CopyFrom(conversation)
        try:
            await self.stub.CountTokens(request, timeout=LOAD_SECONDS)
        except AioRpcError as error:
            return error.code().name
        return "answered"

    def tokenizer_seconds(self) -> float:
        """CPU time of all bounded processes so far, those that ended included."""
        service = psutil.Process(self.pid)
        ended = service.cpu_times()
        alive = [it for it in service.children() if CHILD in it.cmdline()]
        times = [child.cpu_times() for child in alive]
        # Of engines none ends while this is measured.
        return ended.children_user + ended.children_system + sum(t.user + t.system for t in times)


@asynccontextmanager
async def running_site(root: Path, names: list[str]) -> AsyncIterator[Site]:
    """A site with these hostile models, `HOSTILE` by name, and the good one loaded."""
    llama = make_tiny_llama(root / "llama")
    build = make_tiny_openvino(llama, root / "build")
    (root / "nats").mkdir()
    async with run_nats(root / "nats") as nats:
        settings = service_settings(nats, root) | {"engine_threads": "1"}
        store = FolderStore(Path(settings["artifact_root"]))
        async with Bus.connect(nats.url, nats.token, name="drill") as bus:
            await _announce(bus, store, build, GOOD, GOOD_TENANT)
            hostile = {}
            for number, name in enumerate(names):
                version_id, tenant = f"mv-hostile-{number:02d}", RIVALS[number % len(RIVALS)]
                await _announce(bus, store, _spoilt(root, build, name), version_id, tenant)
                hostile[version_id] = tenant
            async with (
                running_service("inference", settings) as service,
                open_channel(service.address, SECRET) as channel,
            ):
                yield Site(InferenceServiceStub(channel), service.pid, hostile)


async def _announce(
    bus: Bus, store: FolderStore, folder: Path, version_id: str, tenant: str
) -> None:
    digest = store.commit(folder, kind="model", form=FORM, attributes={"of": version_id}).digest
    ready = ModelReady(version_id=version_id, tenant=tenant, form=FORM, digest=digest)
    ready.context_tokens = 512
    await bus.publish(MODEL_READY, ready, msg_id=version_id)


def _spoilt(root: Path, build: Path, name: str) -> Path:
    """The good build with the tokenizer of a hostile model."""
    hostile, folder = root / "hostile", root / "spoilt"
    for old in (hostile, folder):
        shutil.rmtree(old, ignore_errors=True)
    HOSTILE[name](hostile)
    shutil.copytree(build, folder)
    for file in OF_THE_TOKENIZER:
        shutil.copyfile(hostile / file, folder / file)
    return folder
