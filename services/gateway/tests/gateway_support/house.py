"""The gateway as it runs, over real sockets, beside a real broker and faked peers."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import (
    add_DataPrepServiceServicer_to_server,
)
from modelmill.inference.v1.inference_service_pb2_grpc import (
    add_InferenceServiceServicer_to_server,
)
from modelmill.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.moderation.v1.moderation_service_pb2_grpc import (
    add_ModerationServiceServicer_to_server,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2_grpc import (
    add_OptimizerBuilderServiceServicer_to_server,
)
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill.trainer.v1.trainer_service_pb2_grpc import add_TrainerServiceServicer_to_server
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY, alias_state, policy_state
from modelmill_gateway.main import serve
from modelmill_gateway.settings import Settings
from modelmill_guard.bundle import Bundle, CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_jobs.control import ControlJob, JobServicer
from modelmill_jobs.process_capacity import ProcessCapacity
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.ports import free_port
from modelmill_testkit.shared_nats import SharedNats, shared_nats
from modelmill_testkit.waiting import eventually

from gateway_support.document import checked
from gateway_support.issuer import AUDIENCE, ISSUER, Issuer
from gateway_support.job_owners import FakeDataPrep, FakeOptimizerBuilder, FakeTrainer
from gateway_support.peers import FakeInference, FakeModeration

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: each would read all authorities of the web otherwise, for 5 ms."""
SECRET = "between-services"
WEBHOOK_KEY = "seals-the-secrets-of-webhooks-of-tests"
BLOCKED = "forbidden fruit"
MASKED = "phone"
FLAGGED = "lock pick"

POLICY = f"""
rules:
  - id: no-eating
    category: illicit
    severity: high
    action: block
    directions: both
    keywords: ["{BLOCKED}"]
  - id: no-number
    category: pii
    severity: low
    action: mask
    directions: both
    keywords: ["{MASKED}"]
  - id: note-locks
    category: illicit
    severity: low
    action: flag
    directions: both
    keywords: ["{FLAGGED}"]
"""

Broker = AbstractAsyncContextManager[NatsServer | SharedNats]

BASE = "mv-base"
BUILD = "mv-build"
ADAPTER = "mv-adapter"
TUNED = "mv-tuned"


def compiled() -> tuple[Bundle, CompiledPolicy]:
    """The policy of the tests, as moderation would publish it."""
    bundle = compile_policy(parse_policy({"test.yaml": POLICY}))
    return bundle, CompiledPolicy.from_bundle(bundle.content)


@dataclass
class House:
    """Everything that a test may look at or break."""

    url: str
    grpc_address: str
    nats: Any
    """A `NatsServer` under the marker `own_broker`, else a lease of one."""
    bus: Bus
    issuer: Issuer
    inference: FakeInference
    moderation: FakeModeration
    data_prep: FakeDataPrep
    trainer: FakeTrainer
    optimizer_builder: FakeOptimizerBuilder
    capacity: dict[str, ProcessCapacity]
    settings: Settings
    clients: AsyncExitStack
    """Closes what `http` and `openai` gave, when the test is over."""

    def http(self, **claims: Any) -> httpx.AsyncClient:
        """A client with a token of these claims, to whom every answer is as the document says."""
        headers = {"authorization": f"Bearer {self.issuer.token(**claims)}"}
        client = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=60,
            verify=NO_TLS,
            event_hooks={"response": [checked]},
        )
        self.clients.push_async_callback(client.aclose)
        return client

    def openai(self, **claims: Any) -> "AsyncOpenAI":
        """The unmodified SDK with a token of these claims."""
        # Not where nobody asks for it: it has a thousand modules.
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        token = self.issuer.token(**claims)
        client = AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=token,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(verify=NO_TLS),
        )
        self.clients.push_async_callback(client.close)
        return client

    async def say_model(self, version_id: str, **fields: Any) -> None:
        """Publish a version."""
        model = ModelReady(version_id=version_id, **({"tenant": "shared"} | fields))
        model.created_at.GetCurrentTime()
        await self.bus.publish(MODEL_READY, model, msg_id=version_id)

    async def say_alias(self, tenant: str, name: str, version_id: str) -> None:
        """Publish an alias."""
        state = AliasState(tenant=tenant, name=name, version_id=version_id)
        state.moved_at.GetCurrentTime()
        await self.bus.publish(alias_state(tenant, name), state)

    async def say_follows_shared(self, tenant: str) -> None:
        """Let the shared policy judge the tenant again."""
        state = PolicyState(tenant=tenant, version=2, follows_shared=True)
        await self.bus.publish(policy_state(tenant), state)

    async def say_policy(self, tenant: str, content: bytes, digest: str) -> None:
        """Publish a policy bundle, valid or not."""
        state = PolicyState(tenant=tenant, version=1, digest=digest, bundle=content)
        await self.bus.publish(policy_state(tenant), state)


async def furnish(house: House) -> None:
    """A base, a build of it under the shared alias "default", a tuned adapter with a build."""
    bundle, _ = compiled()
    await house.say_policy("shared", bundle.content, bundle.digest)
    await house.say_model(BASE, name="tiny", form="safetensors", base_version_id=BASE)
    await house.say_model(
        BUILD,
        name="tiny",
        form="openvino-int8",
        parent_version_id=BASE,
        base_version_id=BASE,
    )
    await house.say_model(
        ADAPTER, name="kinds", form="adapter", parent_version_id=BASE, base_version_id=BASE
    )
    await house.say_model(
        TUNED,
        name="kinds",
        form="openvino-int8",
        parent_version_id=ADAPTER,
        base_version_id=BASE,
    )
    await house.say_alias("shared", "default", BUILD)


@asynccontextmanager
async def run_house(
    folder: Path, broker: Broker | None = None, **changes: Any
) -> AsyncIterator[House]:
    """The house, furnished and answering; `changes` are settings of the gateway.

    Args:
        broker: beside which it runs; without one a broker that tests share.
    """
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(broker or shared_nats())
        bus = await stack.enter_async_context(Bus.connect(nats.url, nats.token, name="tests"))
        peers = FakePeers(JobQueue(bus), bus)
        addresses = await _serve_peers(peers, bus, stack)
        stack.callback(asyncio.create_task(peers.data_prep.unfinished.run()).cancel)
        issuer = Issuer(folder / "jwks.json")
        listen = {
            "http_address": f"127.0.0.1:{free_port()}",
            "grpc_address": f"127.0.0.1:{free_port()}",
        }
        settings = Settings(**(_fixed(folder, nats, issuer) | listen | addresses | changes))
        house = House(
            url=f"http://{listen['http_address']}",
            grpc_address=listen["grpc_address"],
            nats=nats,
            bus=bus,
            issuer=issuer,
            inference=peers.inference,
            moderation=peers.moderation,
            data_prep=peers.data_prep,
            trainer=peers.trainer,
            optimizer_builder=peers.optimizer_builder,
            capacity=peers.capacity,
            settings=settings,
            clients=AsyncExitStack(),
        )
        await furnish(house)
        await stack.enter_async_context(_running(settings, house.url))
        stack.push_async_callback(house.clients.aclose)
        yield house


class FakePeers:
    """Everything behind the gateway."""

    def __init__(self, queue: JobQueue, bus: Bus) -> None:
        self.inference = FakeInference()
        self.moderation = FakeModeration(compiled()[1])
        self.data_prep = FakeDataPrep(queue, bus)
        self.trainer = FakeTrainer(queue, bus)
        self.optimizer_builder = FakeOptimizerBuilder(queue)
        owners = ("data_prep", "trainer", "optimizer_builder")
        self.capacity = {name: ProcessCapacity(Path()) for name in owners}
        """Of those that own jobs; without workers until a test sets one."""


async def _serve_peers(peers: FakePeers, bus: Bus, stack: AsyncExitStack) -> dict[str, str]:
    """Start a server for each; gives the settings that say where they are."""
    addresses = {}
    for name, add, kinds in (
        ("inference", add_InferenceServiceServicer_to_server, ()),
        ("moderation", add_ModerationServiceServicer_to_server, ()),
        ("data_prep", add_DataPrepServiceServicer_to_server, ("dataset",)),
        ("trainer", add_TrainerServiceServicer_to_server, ("train", "evaluate")),
        ("optimizer_builder", add_OptimizerBuilderServiceServicer_to_server, ("optimize",)),
    ):
        server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
        add(getattr(peers, name), server.grpc)
        if kinds:
            owner = JobServicer(ControlJob(bus, kinds), peers.capacity[name])
            add_JobServiceServicer_to_server(owner, server.grpc)
        await stack.enter_async_context(server)
        addresses[f"{name}_address"] = f"127.0.0.1:{server.port}"
    return addresses


def _fixed(folder: Path, nats: NatsServer | SharedNats, issuer: Issuer) -> dict[str, Any]:
    return {
        "nats_url": nats.url,
        "nats_token": nats.token,
        "service_secret": SECRET,
        "artifact_root": folder / "artifacts",
        "work_root": folder / "work",
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "jwks_path": issuer.jwks_file,
        "docs_folder": folder / "docs",
        "console_folder": folder / "console",
        "drain_seconds": 1.0,
        "webhook_key": WEBHOOK_KEY,
        # What a key has used is written down at half this time, and many tests wait for it.
        "ledger_lease_seconds": 1.0,
        # Most tests look at what moderation is asked, and what comes when it does not answer.
        "rules_here_chars": 0,
    }


@asynccontextmanager
async def _running(settings: Settings, url: str) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    serving = asyncio.create_task(serve(settings, stopping))

    async def answers() -> bool:
        if serving.done():
            serving.result()
        try:
            async with httpx.AsyncClient(verify=NO_TLS) as client:
                return (await client.get(f"{url}/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    try:
        await eventually(answers)
        yield
    finally:
        stopping.set()
        await serving
