"""submit.queue.* and submit.http.*: how long until a job is accepted, at p50 and p99.

Milliseconds, one at a time, each a job of its own; brokers with `sync_interval: always`, so that
each answer follows an fsync. submit.queue: from `JobQueue.submit` to its return. submit.http: from
`POST /v1/datasets` on a kept connection to the whole 202, through the gateway (token, quota) and
data-prep, which validates, submits, and works on none of them. Floor: a bare JetStream publish of
512 bytes, awaited. Ratio: ours / that. What an fsync takes on this disk is in the note.
Whether the floor was steady is judged by its p50 for all: at p99 a disk is never. Rival: none.
"""

import asyncio
import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.bus import Bus
from modelmill_cli.gateway import connect_locally, local_token
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill
from modelmill_jobs.submit import JobQueue
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.ports import free_port

from tests.bench.figures import Figures, Line
from tests.bench.harness import Group, Measure, Run

QUEUE = {"submit.queue.p50": "queue p50", "submit.queue.p99": "queue p99"}
HTTP = {"submit.http.p50": "http p50", "submit.http.p99": "http p99"}
SUBMITS = 500
SECONDS, PREPARE_SECONDS = 40.0, 12.0
BODY_BYTES = 512
ROW = {"word": "espresso", "gloss": "strong black coffee", "label": "food"}
MAPPING = {
    "system_template": "Name the kind of thing.",
    "user_template": "{word}: {gloss}",
    "answer_template": "{label}",
}


async def measure(run: Run) -> list[Line]:
    """All entries, of the same rounds."""
    count = run.pick(SUBMITS, 50)
    async with _contestants(count) as contestants:
        rounds = await run.interleaved("submit", contestants, seconds=SECONDS, steady=["queue p50"])
    synced = rounds.median("disk", "fsync ms")
    note = f"{count} a round, one at a time; an fsync here takes {synced:.3f} ms"
    return [
        rounds.line(
            entry_id,
            figure,
            unit="ms",
            against="bare JetStream publish, fsynced",
            goal=None,
            note=f"{note}; floor {rounds.median('floor', figure):.3f} ms",
            floor_figure="queue p50",
        )
        for entry_id, figure in (QUEUE | HTTP).items()
        if entry_id in run.wanted
    ]


@asynccontextmanager
async def _contestants(count: int) -> AsyncIterator[dict[str, Measure]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(run_nats(folder / "nats"))
        bus = await stack.enter_async_context(Bus.connect(server.url, server.token, name="bench"))
        raw = await nats.connect(server.url, token=server.token)
        stack.push_async_callback(raw.close)
        stream = raw.jetstream()
        await stream.add_stream(name="FLOOR", subjects=["floor"])
        post = await stack.enter_async_context(_http_submits(folder))
        submit = _queue_submits(JobQueue(bus))

        async def ours() -> Figures:
            queue = _percentiles("queue", [await _ms(submit) for _ in range(count)])
            return queue | _percentiles("http", await asyncio.to_thread(post, count))

        async def floor() -> Figures:
            payload = b"x" * BODY_BYTES
            taken = [await _ms(lambda: stream.publish("floor", payload)) for _ in range(count)]
            return _percentiles("queue", taken) | _percentiles("http", taken)

        async def disk() -> Figures:
            return {"fsync ms": statistics.median(fsyncs(folder / "disk", count))}

        yield {"ours": ours, "floor": floor, "disk": disk}


def _queue_submits(queue: JobQueue) -> Callable[[], Awaitable[object]]:
    spec = TrainSpec(base_version_id="mv-1", dataset_id="ds-1", name="bench")
    return lambda: queue.submit(
        kind="train",
        prefix="ftjob",
        tenant="bench",
        requested_by="bench",
        idempotency_key="",
        spec=spec,
    )


@asynccontextmanager
async def _http_submits(folder: Path) -> AsyncIterator[Callable[[int], list[float]]]:
    """A stack on which nobody works, and what posts so many datasets to it: ms of each."""
    state = StateFolder(folder / "state")
    options = StackOptions(
        http_port=free_port(), log_level="WARNING", overrides={"DATA_PREP_ROLE": "serve"}
    )
    async with running_stack(state, options, lambda _name, _line: None) as stack:
        with connect_locally(state, stack.runtime.http_url) as uploading:
            file_id = await asyncio.to_thread(_upload, uploading, folder / "rows.jsonl")
        body = json.dumps({"file_id": file_id, "name": "bench", "mapping": MAPPING})
        client = http.client.HTTPConnection("127.0.0.1", options.http_port)
        headers = {
            "authorization": f"Bearer {local_token(state)}",
            "content-type": "application/json",
        }

        def post(count: int) -> list[float]:
            return [_post_ms(client, body, headers) for _ in range(count)]

        try:
            yield post
        finally:
            client.close()


def _upload(client: Modelmill, rows: Path) -> str:
    rows.write_text(json.dumps(ROW) + "\n")
    return client.files.upload(rows)["id"]


def _post_ms(client: http.client.HTTPConnection, body: str, headers: dict[str, str]) -> float:
    started = time.perf_counter()
    client.request("POST", "/v1/datasets", body, headers)
    answer = client.getresponse()
    said = answer.read()
    taken = (time.perf_counter() - started) * 1e3
    if answer.status != http.client.ACCEPTED:
        raise OSError(f"POST /v1/datasets: {answer.status} {said[:300]!r}")
    return taken


async def _ms(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1e3


def fsyncs(file: Path, count: int) -> list[float]:
    """Milliseconds of so many writes of a message, each followed by fsync, as nats-server does."""
    taken = []
    handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            started = time.perf_counter()
            os.write(handle, b"x" * BODY_BYTES)
            os.fsync(handle)
            taken.append((time.perf_counter() - started) * 1e3)
    finally:
        os.close(handle)
    return taken


def _percentiles(name: str, taken: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(taken, n=100)
    return {f"{name} p50": cuts[49], f"{name} p99": cuts[98]}


GROUP = Group((*QUEUE, *HTTP), measure, SECONDS + PREPARE_SECONDS)
