"""A broker, a paced inference and the gateway as a process, for one run."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import httpx
from modelmill.inference.v1.inference_service_pb2_grpc import (
    add_InferenceServiceServicer_to_server,
)
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_cli.keys import ALL_SCOPES, AUDIENCE, ISSUER, LocalKeys
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import SECRET, running_service, service_settings

from tests.overload.paced_inference import PacedInference
from tests.put_policy import put_policy

MODEL = "mv-paced"
TENANTS = ("one", "two", "three")
NOBODY = "127.0.0.1:9"
"""A peer that does not answer and is not asked: rules that need no judge are judged here."""
POLICY = """
rules:
  - id: fruit
    category: illicit
    severity: low
    action: flag
    directions: both
    keywords: ["forbidden fruit"]
"""
GAUGES = (
    "modelmill_active_streams",
    "modelmill_answer_tokens_in_hand",
    "modelmill_answers_waiting",
)


@dataclass(frozen=True)
class Site:
    """Where to ask, as whom, and what is behind it."""

    port: int
    tokens: dict[str, str]
    """By tenant."""
    inference: PacedInference
    metrics_url: str

    async def held(self) -> dict[str, float]:
        """What the gateway says that it holds; all 0 when nothing is in hand."""
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {SECRET}"}) as client:
            page = (await client.get(self.metrics_url)).text
        found = {name: re.search(rf"^{name} (\S+)$", page, re.M) for name in GAUGES}
        held = {name: float(match[1]) for name, match in found.items() if match is not None}
        return held | {"calls": float(self.inference.in_flight)}


def _token(keys: LocalKeys, tenant: str) -> str:
    life = timedelta(minutes=30)
    return keys.issue(subject="load", tenant=tenant, scopes=ALL_SCOPES, life=life)


async def _announce(bus: Bus, policies: Mapping[str, str]) -> None:
    ready = ModelReady(version_id=MODEL, tenant="shared", form="openvino-int8")
    await bus.publish(MODEL_READY, ready, msg_id=MODEL)
    for tenant, written in policies.items():
        await put_policy(bus, tenant, compile_policy(parse_policy({"rules.yaml": written})))


@asynccontextmanager
async def running_site(
    folder: Path,
    inference: PacedInference,
    *,
    tokens_in_hand: int,
    policies: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Site]:
    """All of it, until the block ends.

    Args:
        policies: of tenants that have one of their own.
    """
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(run_nats(folder / "nats"))
        bus = await stack.enter_async_context(Bus.connect(nats.url, nats.token, name="tests"))
        await _announce(bus, {"shared": POLICY} | dict(policies))
        server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
        add_InferenceServiceServicer_to_server(inference, server.grpc)
        await stack.enter_async_context(server)
        keys = LocalKeys(folder / "keys")
        keys.create()
        peers = ("moderation", "data_prep", "trainer", "optimizer_builder")
        settings = service_settings(nats, folder) | {
            **{f"{name}_address": NOBODY for name in peers},
            "inference_address": f"127.0.0.1:{server.port}",
            "http_address": "127.0.0.1:0",
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwks_path": str(keys.jwks_file),
            "tokens_in_hand": str(tokens_in_hand),
            "log_level": "WARNING",
        }
        gateway = await stack.enter_async_context(running_service("gateway", settings))
        yield Site(
            port=gateway.ports["http"],
            tokens={tenant: _token(keys, tenant) for tenant in TENANTS},
            inference=inference,
            metrics_url=f"http://127.0.0.1:{gateway.ports['metrics']}/metrics",
        )
