"""A broker, a counting inference, and gateways; all but inference are killed and come back."""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from string import ascii_lowercase

import httpx
from modelmill.inference.v1.inference_service_pb2_grpc import (
    add_InferenceServiceServicer_to_server,
)
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY, budget_state, policy_state
from modelmill_cli.keys import ALL_SCOPES, AUDIENCE, ISSUER, LocalKeys
from modelmill_gateway.domain.ledger.budget import Budget, Limits, tenant_budget
from modelmill_gateway.entrypoints.schemas.keys import KeyLimits
from modelmill_gateway.spending.budget_book import budget_message, budget_of, limits_message
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.service_process import (
    SECRET,
    ServiceProcess,
    running_service,
    service_settings,
)
from modelmill_testkit.waiting import eventually

from tests.ledger.counting_inference import CountingInference

MODEL = "mv-counting"
NOBODY = "127.0.0.1:9"
PRICES = ("2", "6")
"""Of a million tokens of prompts and of answers; the oracle's `PRICE`."""
POLICY = """
rules:
  - {id: fruit, category: illicit, severity: low, action: flag, directions: both,
     keywords: ["forbidden fruit"]}
"""


@dataclass(frozen=True)
class Shown:
    """What callers show, and the budgets it is charged to: of keys first, of the tenant last."""

    name: str
    token: str
    budgets: tuple[str, ...]

    def budget_in(self, message: str) -> str:
        """Whose limit a refusal names; empty when it names none."""
        if message.startswith("the tenant"):
            return self.budgets[-1]
        return next((each for each in self.budgets if each in message), "")


class Replica:
    """One gateway, at another port each time it starts: one that is free may not stay so."""

    def __init__(self, name: str, settings: Mapping[str, str], module: str | None) -> None:
        self.name = name
        self.port = 0
        self.kills: list[float] = []
        self.serving = False
        self.counted: dict[str, float] = {}
        """By its own metrics, of processes that were asked before they died."""
        self._settings = dict(settings) | {"http_address": "127.0.0.1:0"}
        self._module = module
        self._life = AsyncExitStack()
        self._process: ServiceProcess | None = None

    async def start(self) -> None:
        """Until it answers."""
        opened = running_service("gateway", self._settings, module=self._module)
        self._process = await self._life.enter_async_context(opened)
        self.port = self._process.ports["http"]
        self.serving = True

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        assert self._process is not None
        self.serving = False
        self.kills.append(time.monotonic())
        await self._process.stop(signal.SIGKILL)
        await self._life.aclose()

    async def metrics(self) -> dict[str, float]:
        """Its counters of quotas, of this process's life."""
        assert self._process is not None
        url = f"http://127.0.0.1:{self._process.ports['metrics']}/metrics"
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {SECRET}"}) as client:
            page = (await client.get(url)).text
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", page, re.M)}

    async def close(self) -> None:
        """End it for good."""
        self.serving = False
        await self._life.aclose()


@dataclass
class Site:
    """All of it, and every record of a budget that was written."""

    nats: NatsServer
    bus: Bus
    inference: CountingInference
    replicas: list[Replica]
    keys: LocalKeys
    records: list[tuple[float, Budget]] = field(default_factory=list)

    def token(self, tenant: str) -> str:
        """Of a caller."""
        life = timedelta(minutes=30)
        return self.keys.issue(subject="load", tenant=tenant, scopes=ALL_SCOPES, life=life)

    def tenant(self, name: str) -> Shown:
        """A caller with a token of the tenant's."""
        return Shown(name, self.token(name), (tenant_budget(name),))

    async def key(self, name: str, maker: Shown, limits: Limits) -> Shown:
        """A caller with a key that another made, once all replicas know it."""
        requested = {
            "name": name,
            "scopes": ["chat", "keys", "models:read"],
            "limits": KeyLimits.of(limits_message(limits)).as_dict(),
        }
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.post(
                f"http://127.0.0.1:{self.replicas[0].port}/v1/keys",
                json=requested,
                headers={"authorization": f"Bearer {maker.token}"},
            )
            made = answer.raise_for_status().json()
            headers = {"authorization": f"Bearer {made['key']}"}
            for replica in self.replicas:
                url = f"http://127.0.0.1:{replica.port}/v1/models"

                async def knows(url: str = url) -> bool:
                    return (await client.get(url, headers=headers)).is_success

                await eventually(knows, within=10)
        return Shown(name, made["key"], (made["id"], *maker.budgets))

    async def limit(self, tenant: str, limits: Limits) -> None:
        """Let the tenant have these limits from the beginning."""
        budget = Budget(tenant_budget(tenant), tenant, limits)
        subject = budget_state(budget.budget_id)
        await self.bus.publish(subject, budget_message(budget), expect_last=0)

    def newest(self, budget_id: str) -> Budget:
        """The last record."""
        return next(each for _, each in reversed(self.records) if each.budget_id == budget_id)

    async def keep_records(self) -> None:
        """Follow budgets for ever."""
        async for stored in self.bus.follow(["budget.state.*"]):
            self.records.append((time.monotonic(), budget_of(stored.body)))


@asynccontextmanager
async def running_site(
    folder: Path,
    inference: CountingInference,
    limits: Mapping[str, Limits],
    *,
    module: str | None = None,
    replicas: int = 2,
    lease_seconds: float = 6.0,
    grace_seconds: float = 30.0,
) -> AsyncIterator[Site]:
    """All of it, until the block ends; `module` is the gateway's, if not its own."""
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(run_nats(folder / "nats"))
        bus = await stack.enter_async_context(Bus.connect(nats.url, nats.token, name="gateway"))
        await _furnish(bus)
        server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
        add_InferenceServiceServicer_to_server(inference, server.grpc)
        await stack.enter_async_context(server)
        keys = LocalKeys(folder / "keys")
        keys.create()
        common = _settings(nats, folder, keys, server.port) | {
            "ledger_lease_seconds": str(lease_seconds),
            "ledger_grace_seconds": str(grace_seconds),
        }
        gateways = [
            Replica(name, common | {"ledger_folder": str(folder / f"ledger-{name}")}, module)
            for name in ascii_lowercase[:replicas]
        ]
        site = Site(nats, bus, inference, gateways, keys)
        for tenant, limit in limits.items():
            await site.limit(tenant, limit)
        following = asyncio.create_task(site.keep_records())
        stack.callback(following.cancel)
        for replica in gateways:
            stack.push_async_callback(replica.close)
        await asyncio.gather(*(replica.start() for replica in gateways))
        yield site


def _settings(nats: NatsServer, folder: Path, keys: LocalKeys, port: int) -> dict[str, str]:
    peers = ("moderation", "data_prep", "trainer", "optimizer_builder")
    return service_settings(nats, folder) | {
        **{f"{name}_address": NOBODY for name in peers},
        "inference_address": f"127.0.0.1:{port}",
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "jwks_path": str(keys.jwks_file),
        "log_level": "WARNING",
        "role": "serve",
        "prices": json.dumps({"*": PRICES}),
    }


async def _furnish(bus: Bus) -> None:
    ready = ModelReady(version_id=MODEL, tenant="shared", form="openvino-int8")
    await bus.publish(MODEL_READY, ready, msg_id=MODEL)
    bundle = compile_policy(parse_policy({"rules.yaml": POLICY}))
    state = PolicyState(tenant="shared", version=1, digest=bundle.digest, bundle=bundle.content)
    await bus.publish(policy_state("shared"), state)
