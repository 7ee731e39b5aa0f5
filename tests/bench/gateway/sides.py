"""Who is measured, each with what it needs, and what one turn of each measures.

Ours: the gateway of a whole stack (token verified, usage recorded, output guarded), asking the mock
upstream over gRPC. LiteLLM: its proxy (master key verified), asking the same process over HTTP.
Traces are off in both. Rules off: a policy without rules, and no guardrail in LiteLLM; on: the
default policy, and as much of it as LiteLLM's own content filter can say (`rules`).
Direct: the same requests to the upstream without anything between, over each of the two protocols.
Echo: a raw ASGI app that answers 1 KB, the floor of HTTP.
Cores do not halt, where the machine lets us (`steady_cores`): the same for all.
"""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from tests.bench.echo_peers import SENTENCE
from tests.bench.figures import Figures
from tests.bench.gateway.litellm_proxy import MODEL, Proxy, litellm_proxy
from tests.bench.gateway.mock_upstream import PACE_SECONDS, WHOLE
from tests.bench.gateway.rules import BLOCKED_INPUT, INPUT, OUTPUT, guardrails
from tests.bench.gateway_latency import echo_process
from tests.bench.harness import Measure, Run
from tests.bench.serving import Serving, serving
from tests.bench.steady_cores import awake_cores
from tests.bench.worker import Worker, running

BODY_BYTES = 1024
WARM, IN_FLIGHT = 60, 32
FIRSTS, DELTAS = 3, 64
"""Deltas of a stream that tells the first token's time, and of one that tells stalls."""
NO_RULES: dict[str, object] = {"documents": [{"name": "none.yaml", "text": "rules: []\n"}]}
STALL_SECONDS = 1.5 * PACE_SECONDS
"""A gap that is longer is a stall, and one in a hundred of them is one too many."""
LADDER = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)


def chat_body(model: str, **more: object) -> str:
    """A request of 1 KB."""
    fixed = {"model": model, "max_tokens": WHOLE, "temperature": 0, **more}
    empty = json.dumps(fixed | {"messages": [{"role": "user", "content": ""}]})
    text = (SENTENCE * 16)[: BODY_BYTES - len(empty)]
    return json.dumps(fixed | {"messages": [{"role": "user", "content": text}]})


@dataclass(frozen=True)
class HttpSide:
    """What answers chats over HTTP at a port, and the CPU that it has taken."""

    port: int
    token: str
    model: str
    stack: Serving | Proxy | None

    def cpu_seconds(self) -> float:
        """Of all processes that answer: of ours moderation, too, should it be asked."""
        if isinstance(self.stack, Serving):
            taken = self.stack.cpu_seconds()
            return taken["gateway"] + taken["moderation"]
        return self.stack.cpu_seconds() if self.stack else 0.0


@dataclass(frozen=True)
class Turns:
    """One turn of a contestant: latencies, rate, first tokens and streams, as far as wanted."""

    run: Run
    load: Worker
    streams: Worker
    calls: Worker

    async def over_http(self, side: HttpSide, requests: int, wanted: frozenset[str]) -> Figures:
        """Everything that a client of HTTP sees."""
        asked = {"port": side.port, "token": side.token}
        body = chat_body(side.model)
        await self.load.ask(**asked, bodies=[body] * WARM, in_flight=4)
        figures: dict[str, float] = {}
        one = await self.load.ask(**asked, bodies=[body] * requests, in_flight=1)
        figures |= _percentiles("added", one["latencies"])
        if "rate" in wanted:
            begun = side.cpu_seconds()
            many = await self.load.ask(**asked, bodies=[body] * requests, in_flight=IN_FLIGHT)
            figures["requests/s"] = requests / many["seconds"]
            figures["rate"] = requests / max(side.cpu_seconds() - begun, 1e-9)
        if "ttft" in wanted:
            streaming = chat_body(side.model, stream=True, max_tokens=FIRSTS)
            times = self.run.pick(60, 5)
            said = await self.streams.ask(
                **asked, body=streaming, streams=1, deltas=FIRSTS, times=times
            )
            figures |= _percentiles("ttft", said["first_seconds"])
        if "streams" in wanted:
            figures["streams"] = float(await self._stall_free(side))
        return figures

    async def over_grpc(self, port: int, requests: int) -> Figures:
        """The upstream itself, as the gateway asks it."""
        text = json.loads(chat_body(MODEL))["messages"][0]["content"]
        asked = {"port": port, "text": text}
        whole = await self.calls.ask(**asked, max_tokens=WHOLE, calls=requests)
        begun = await self.calls.ask(**asked, max_tokens=FIRSTS, calls=self.run.pick(60, 5))
        return _percentiles("added", whole["latencies"]) | _percentiles(
            "ttft", begun["first_seconds"]
        )

    async def _stall_free(self, side: HttpSide) -> int:
        """The most streams side by side of which none stalls, by the steps of LADDER."""
        best = 0
        body = chat_body(side.model, stream=True, max_tokens=DELTAS)
        for streams in LADDER[: self.run.pick(len(LADDER), 2)]:
            said = await self.streams.ask(
                port=side.port, token=side.token, body=body, streams=streams, deltas=DELTAS, times=1
            )
            stalls = sum(gap > STALL_SECONDS for gap in said["gaps"])
            if said["complete"] < streams or stalls > len(said["gaps"]) / 100:
                break
            best = streams
        return best


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles([one * 1e3 for one in seconds], n=100)
    return {f"{name}.p50": cuts[49], f"{name}.p99": cuts[98]}


@asynccontextmanager
async def contestants(
    run: Run, model: Path, wanted: frozenset[str], *, has_rules: bool = False
) -> AsyncIterator[Mapping[str, Measure]]:
    """All of them running, each measured by the same clients."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        upstream = await enter(echo_process("gateway.mock_upstream"))
        echo = await enter(echo_process("asgi_echo"))
        overrides = {
            "GATEWAY_INFERENCE_ADDRESS": f"127.0.0.1:{upstream.ports['grpc']}",
            "GATEWAY_OTLP_ENDPOINT": "",
        }
        served = await enter(serving("gateway", model, overrides=overrides, load=False))
        filters = guardrails() if has_rules else ()
        proxy = await enter(litellm_proxy(upstream.ports["http"], filters))
        workers = [
            await enter(running(name))
            for name in ("load_client", "gateway.stream_load", "gateway.grpc_load")
        ]
        stack.enter_context(awake_cores())
        turns = Turns(run, *workers)
        ours = HttpSide(served.port, served.token, served.version_id, served)
        litellm = HttpSide(proxy.port, proxy.key, MODEL, proxy)
        if has_rules:
            await asyncio.to_thread(_see_rules, ours, litellm)
        else:
            await asyncio.to_thread(_drop_rules, served)
        direct = HttpSide(upstream.ports["http"], "none", MODEL, None)
        floor = HttpSide(echo.ports["http"], "none", MODEL, None)
        few, many = run.pick(300, 60), run.pick(2000, 100)
        yield {
            "ours": lambda: turns.over_http(ours, many, wanted),
            "litellm": lambda: turns.over_http(litellm, few, wanted),
            "direct": lambda: turns.over_http(direct, many, wanted - {"rate", "streams"}),
            "grpc": lambda: turns.over_grpc(upstream.ports["grpc"], many),
            "floor": lambda: turns.over_http(floor, many, frozenset({"rate"})),
        }


def _see_rules(ours: HttpSide, litellm: HttpSide) -> None:
    """Raises OSError unless both refuse what a rule blocks, and LiteLLM names both guardrails."""
    for side in (ours, litellm):
        url = f"http://127.0.0.1:{side.port}/v1/chat/completions"
        head = {"authorization": f"Bearer {side.token}"}
        turn = {"role": "user", "content": BLOCKED_INPUT}
        body = {"model": side.model, "max_tokens": WHOLE, "messages": [turn]}
        refused = httpx.post(url, json=body, headers=head, timeout=30)
        let_pass = httpx.post(url, content=chat_body(side.model), headers=head, timeout=30)
        if refused.is_success or not let_pass.is_success:
            raise OSError(f"rules are not on: {refused.status_code}, {let_pass.status_code}")
        named = let_pass.headers.get("x-litellm-applied-guardrails", "")
        if side is litellm and not all(name in named for name in (INPUT, OUTPUT)):
            raise OSError(f"LiteLLM says that it applied {named!r}")


def _drop_rules(served: Serving) -> None:
    """Put a policy without rules in force, and wait until the gateway has it."""
    head = {"authorization": f"Bearer {served.token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", headers=head) as client:
        shown = client.get("/v1/moderation/policy").raise_for_status().json()
        texts = [yaml.safe_load(document["text"]) for document in shown["documents"]]
        rules = [rule["id"] for text in texts for rule in text["rules"]]
        alone = NO_RULES | {"remove_default_rules": rules}
        put = client.put("/v1/moderation/policy", json=alone).raise_for_status()
        body, digest = chat_body(served.version_id), put.json()["digest"]
        for _ in range(100):
            answer = client.post("/v1/chat/completions", content=body)
            if answer.headers.get("x-policy-digest") == digest:
                return
    raise OSError("the policy without rules did not come into force")
