"""latency.gateway.p50 and .p99: milliseconds that gateway and moderation add to a chat.

Value: ours - floor, of the p50 or p99 over the requests of a round, seen by the client: not
streamed, 1 KB in and 1 KB out, one in flight on one kept connection. Ours: the real gateway (token
verified, policy, output guard) and moderation, before an inference that answers at once
(`echo_inference`), so that no model is in the figure but gateway's gRPC call to inference is.
Floor: a raw ASGI app on the same uvicorn settings (`asgi_echo`). Ratio: ours / floor. The idle side
and the stack's other services wait. Rival: none.
"""

import json
import secrets
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from cli.process_supervisor import SupervisedProcess, python_module

from tests.bench.built_model import built_model
from tests.bench.echo_inference import SENTENCE
from tests.bench.figures import Figures, Goal, Line, Rounds
from tests.bench.harness import Group, Run
from tests.bench.serving import serving
from tests.bench.worker import Worker, running

IDS = {"latency.gateway.p50": "p50", "latency.gateway.p99": "p99"}
REQUESTS, ECHO_REQUESTS = 1000, 6000
"""A round; the echo has more, so that its p99 is of as many seconds."""
SECONDS, PREPARE_SECONDS = 45.0, 20.0
GOAL = Goal(4.0)
BODY_BYTES = 1024


@asynccontextmanager
async def echo_process(module: str) -> AsyncIterator[SupervisedProcess]:
    """`python -m tests.bench.<module>`, started as a service is, until the block ends."""
    environment = {
        "ECHO_NATS_URL": "nats://none",
        "ECHO_NATS_TOKEN": secrets.token_hex(8),
        "ECHO_SERVICE_SECRET": secrets.token_hex(8),
        "ECHO_ARTIFACT_ROOT": str(Path.cwd()),
        "ECHO_LOG_LEVEL": "ERROR",
    }
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
    """Both entries, of the same rounds."""
    model = await built_model(run)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        inference = await enter(echo_process("echo_inference"))
        echo = await enter(echo_process("asgi_echo"))
        overrides = {"GATEWAY_INFERENCE_ADDRESS": f"127.0.0.1:{inference.ports['grpc']}"}
        served = await enter(
            serving("gateway_latency", model.int8, overrides=overrides, load=False)
        )
        client = await enter(running("load_client"))
        body = chat_body(served.version_id)

        async def ours() -> Figures:
            bodies = [body] * run.pick(REQUESTS, 200)
            return await _percentiles(client, served.port, served.token, bodies)

        async def floor() -> Figures:
            bodies = [body] * run.pick(ECHO_REQUESTS, 1000)
            return await _percentiles(client, echo.ports["http"], served.token, bodies)

        contestants = {"ours": ours, "floor": floor}
        rounds = await run.interleaved(
            "latency.gateway", contestants, seconds=SECONDS, steady=list(IDS.values())
        )
    return [_line(rounds, entry_id) for entry_id in IDS if entry_id in run.wanted]


async def _percentiles(client: Worker, port: int, token: str, bodies: list[str]) -> Figures:
    answer = await client.ask(port=port, token=token, bodies=bodies, in_flight=1)
    cuts = statistics.quantiles((one * 1e3 for one in answer["latencies"]), n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def _line(rounds: Rounds, entry_id: str) -> Line:
    figure = IDS[entry_id]
    ours, echo = rounds.median("ours", figure), rounds.median("floor", figure)
    return rounds.line(
        entry_id,
        figure,
        unit="ms added",
        against="raw ASGI echo",
        goal=GOAL,
        note=f"ours {ours:.3f} ms, echo {echo:.3f} ms; value is the difference",
        value=ours - echo,
    )


GROUP = Group(tuple(IDS), measure, SECONDS + PREPARE_SECONDS)
