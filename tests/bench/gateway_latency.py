"""latency.gateway.* and latency.hops.*: what a chat takes around the model, at p50 and p99.

A chat, not streamed, 1 KB in and 1 KB out, one in flight on one kept connection, milliseconds of a
request as the client sees it. p50 and p99 of a round are the medians of those of its parts, 1,000
requests each. Ours: the real gateway (token verified, policy, output guard) and the real
moderation, before an inference that answers at once (`echo_peers`), so that no model is in the
figure but the gateway's call to inference is.

latency.gateway: value is ours - echo, against a raw ASGI echo (`asgi_echo`), which is the floor of
one process without work. Ratio: ours / echo.
latency.hops: value is ours, against the same raw app with a bare gRPC call to a second process for
the verdict and another for the answer: the floor of what is asked here. Ratio: ours / that.
The idle sides and the stack's other services wait. The client has a core of its own, which only the
echo shares, and cores do not halt, where the machine lets us (`steady_cores`). Rival: none.
"""

import json
import secrets
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from modelmill_service_kit.process_supervisor import SupervisedProcess, python_module

from tests.bench.built_model import built_model
from tests.bench.echo_peers import SENTENCE
from tests.bench.figures import Figures, Goal, Line, Rounds
from tests.bench.harness import Group, Measure, Run
from tests.bench.serving import serving
from tests.bench.steady_cores import awake_cores, part
from tests.bench.worker import Worker, running

OVER_ECHO = {"latency.gateway.p50": "p50", "latency.gateway.p99": "p99"}
OVER_HOPS = {"latency.hops.p50": "p50", "latency.hops.p99": "p99"}
PART = 1000
PARTS = {"ours": 3, "hops": 5, "floor": 20}
"""A round; who is quicker has more, so that one hiccup of the machine is not a whole round."""
SECONDS, PREPARE_SECONDS = 125.0, 20.0
ECHO_GOAL, HOPS_GOAL = Goal(4.0), Goal(1.5)
BODY_BYTES = 1024


@asynccontextmanager
async def echo_process(module: str, **more: str) -> AsyncIterator[SupervisedProcess]:
    """`python -m tests.bench.<module>`, started as a service is, until the block ends.

    Args:
        more: further settings of it, by their environment names.
    """
    environment = {
        "ECHO_NATS_URL": "nats://none",
        "ECHO_NATS_TOKEN": secrets.token_hex(8),
        "ECHO_SERVICE_SECRET": secrets.token_hex(8),
        "ECHO_ARTIFACT_ROOT": str(Path.cwd()),
        "ECHO_LOG_LEVEL": "ERROR",
    } | more
    command = python_module(f"tests.bench.{module}")
    process = SupervisedProcess(module, command, environment, lambda *_: None)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()


def chat_body(version_id: str) -> str:
    """A request of 1 KB."""
    fixed = {"model": version_id, "max_tokens": 256, "temperature": 0}
    empty = json.dumps(fixed | {"messages": [{"role": "user", "content": ""}]})
    text = (SENTENCE * 16)[: BODY_BYTES - len(empty)]
    return json.dumps(fixed | {"messages": [{"role": "user", "content": text}]})


async def measure(run: Run) -> list[Line]:
    """All entries, of the same rounds."""
    model = await built_model(run)
    async with _contestants(run, model.int8) as contestants:
        rounds = await run.interleaved(
            "latency", contestants, seconds=SECONDS, steady=["p50", "p99"]
        )
    lines = [_over_echo(rounds, entry_id) for entry_id in OVER_ECHO if entry_id in run.wanted]
    return lines + [
        _over_hops(rounds, entry_id) for entry_id in OVER_HOPS if entry_id in run.wanted
    ]


@asynccontextmanager
async def _contestants(run: Run, model: Path) -> AsyncIterator[dict[str, Measure]]:
    """All running, each with the same client before it."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        peers = await enter(echo_process("echo_peers"))
        address = f"127.0.0.1:{peers.ports['grpc']}"
        echo = await enter(echo_process("asgi_echo"))
        hops = await enter(echo_process("asgi_echo", ECHO_PEERS_ADDRESS=address))
        overrides = {"GATEWAY_INFERENCE_ADDRESS": address}
        served = await enter(serving("gateway_latency", model, overrides=overrides, load=False))
        client = await enter(running("load_client"))
        gateway = served.stack.processes["gateway"]
        part(client.pid, hops.pid, gateway.pid, beside=echo.pid)
        stack.enter_context(awake_cores())
        body = chat_body(served.version_id)

        def turn(name: str, port: int) -> Measure:
            async def measured() -> Figures:
                bodies = [body] * run.pick(PARTS[name] * PART, 200)
                return await _percentiles(client, port, served.token, bodies)

            return measured

        ports = {"ours": served.port, "hops": hops.ports["http"], "floor": echo.ports["http"]}
        yield {name: turn(name, port) for name, port in ports.items()}


async def _percentiles(client: Worker, port: int, token: str, bodies: list[str]) -> Figures:
    answer = await client.ask(port=port, token=token, bodies=bodies, in_flight=1)
    latencies = [one * 1e3 for one in answer["latencies"]]
    parts = [latencies[start : start + PART] for start in range(0, len(latencies), PART)]
    cuts = [statistics.quantiles(part, n=100) for part in parts]
    return {
        "p50": statistics.median(cut[49] for cut in cuts),
        "p99": statistics.median(cut[98] for cut in cuts),
    }


def _over_echo(rounds: Rounds, entry_id: str) -> Line:
    figure = OVER_ECHO[entry_id]
    ours, echo = rounds.median("ours", figure), rounds.median("floor", figure)
    return rounds.line(
        entry_id,
        figure,
        unit="ms added",
        against="raw ASGI echo",
        goal=ECHO_GOAL,
        note=f"ours {ours:.3f} ms, echo {echo:.3f} ms; value is the difference",
        value=ours - echo,
    )


def _over_hops(rounds: Rounds, entry_id: str) -> Line:
    figure = OVER_HOPS[entry_id]
    hops = rounds.median("hops", figure)
    return rounds.line(
        entry_id,
        figure,
        unit="ms",
        against="raw ASGI and two bare gRPC calls",
        goal=HOPS_GOAL,
        note=f"bare hops {hops:.3f} ms",
        over="hops",
        judged_by="hops",
    )


GROUP = Group((*OVER_ECHO, *OVER_HOPS), measure, SECONDS + PREPARE_SECONDS)
