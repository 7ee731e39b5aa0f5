"""publish.*: messages stored and acknowledged a second, many under way beside one after the other.

Each acknowledgement follows an fsync (`sync_interval: always`). Floor: `Bus.publish` of a job's
state, the next when the last is acknowledged, one connection. Ratio: ours / that.

publish.in_flight.64, .256: so many `Bus.publish` under way at a time on that connection. Each
message has an fsync of its own, and nats-server makes those of one stream one after the other: the
note has the arithmetic, from this disk's own fsyncs a second.
publish.streams: 256 under way, spread over four streams, whose fsyncs overlap.
publish.replicated: 256 under way to a stream on three brokers, over one by one to the same. Before
an answer the message is in the log of agreement of at least two, fsynced; one fsync there is for
all that had come by then (strace: 100 a broker for 100 one by one, 157 for 2,000 with 256 under
way).
publish.batch: JetStream's atomic batches, 500 to one acknowledgement, which follows the fsyncs of
the whole: what the broker can do where messages may be stored all or none. Nothing of ours uses it.
Rival: none.
"""

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import nats
from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JobState
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.registry.v1.model_events_pb2 import FileState, ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import encode
from modelmill_bus.subjects import MODEL_READY, file_state, job_state, policy_state
from modelmill_testkit.nats_cluster import run_nats_cluster
from modelmill_testkit.nats_server import run_nats
from nats.aio.client import Client
from nats.js import api

from tests.bench.figures import Figures, Goal, Line, Rounds
from tests.bench.harness import Group, Measure, Run
from tests.bench.submit_latency import fsyncs

IN_FLIGHT = {"publish.in_flight.64": 64, "publish.in_flight.256": 256}
STREAMS, REPLICATED, BATCH = "publish.streams", "publish.replicated", "publish.batch"
IDS = (*IN_FLIGHT, STREAMS, REPLICATED, BATCH)
MOST_IN_FLIGHT = 256
ONE_BY_ONE, MANY = 600, 3000
"""Messages of a turn."""
BATCH_MESSAGES = 500
SECONDS = 60.0
GOAL = Goal(10.0, at_least=True)
BODY_BYTES = 512

Subjects = list[tuple[str, Message]]


async def measure(run: Run) -> list[Line]:
    """All entries, of the same rounds."""
    async with _contestants(run) as contestants:
        rounds = await run.interleaved("publish", contestants, seconds=SECONDS, steady=[BATCH])
    return [
        rounds.line(
            entry_id,
            entry_id,
            unit="acked/s",
            against="one by one",
            goal=GOAL,
            note=_note(rounds, entry_id),
        )
        for entry_id in IDS
        if entry_id in run.wanted
    ]


def _note(rounds: Rounds, entry_id: str) -> str:
    synced, serial = rounds.median("disk", "fsync/s"), rounds.median("floor", entry_id)
    note = f"one by one {serial:.0f}/s"
    if entry_id not in IN_FLIGHT:
        return note
    return (
        f"{note}; fsync here {synced:.0f}/s, so one fsync a message in one stream cannot come"
        f" beyond {synced / serial:.1f}x"
    )


@asynccontextmanager
async def _contestants(run: Run) -> AsyncIterator[dict[str, Measure]]:
    few, many = run.pick(ONE_BY_ONE, 60), run.pick(MANY, 300)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with (
            run_nats(folder / "nats") as server,
            Bus.connect(server.url, server.token, name="bench") as bus,
            run_nats_cluster(folder / "cluster") as three,
            Bus.connect(three.url, three.token, name="bench", replicas=3) as wide,
        ):
            raw = await nats.connect(server.url, token=server.token)
            await raw.jetstream().add_stream(
                api.StreamConfig(name="BATCHES", subjects=["batch"], allow_atomic=True)
            )
            one, four = _subjects()[:1], _subjects()

            async def ours() -> Figures:
                figures = {
                    entry_id: await _rate(many, partial(_publish, bus, one, many, size))
                    for entry_id, size in IN_FLIGHT.items()
                }
                return figures | {
                    STREAMS: await _rate(many, partial(_publish, bus, four, many, MOST_IN_FLIGHT)),
                    REPLICATED: await _rate(
                        many, partial(_publish, wide, one, many, MOST_IN_FLIGHT)
                    ),
                    BATCH: await _rate(many, partial(_publish_batches, raw, many)),
                }

            async def floor() -> Figures:
                alone = await _rate(few, partial(_publish, bus, one, few, 1))
                replicated = await _rate(few, partial(_publish, wide, one, few, 1))
                return dict.fromkeys(IDS, alone) | {REPLICATED: replicated}

            async def disk() -> Figures:
                return {"fsync/s": 1e3 / statistics.median(fsyncs(folder / "disk", few))}

            yield {"ours": ours, "floor": floor, "disk": disk}
            await raw.close()


def _subjects() -> Subjects:
    """A subject of each of four streams and a body for it, of some half a kilobyte."""
    filling = "x" * BODY_BYTES
    state = JobState(job_id="ftjob-1", status=JOB_STATUS_RUNNING, owner=filling)
    return [
        (job_state("ftjob-1"), state),
        (MODEL_READY, ModelReady(version_id="mv-1", name=filling)),
        (file_state("file-1"), FileState(file_id="file-1", filename=filling)),
        (policy_state("bench"), PolicyState(tenant="bench", digest=filling)),
    ]


async def _rate(count: int, publish: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await publish()
    return count / (time.perf_counter() - started)


async def _publish(bus: Bus, subjects: Subjects, count: int, under_way: int) -> None:
    """So many messages, over the subjects in turn, never more than so many without answer."""
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for number in left:
            subject, body = subjects[number % len(subjects)]
            await bus.publish(subject, body)

    await asyncio.gather(*(one_after_the_other() for _ in range(under_way)))


async def _publish_batches(client: Client, count: int) -> None:
    payload = encode(_subjects()[0][1])
    for start in range(0, count, BATCH_MESSAGES):
        size = min(BATCH_MESSAGES, count - start)
        headers = {api.Header.BATCH_ID.value: uuid.uuid4().hex}
        for number in range(1, size):
            headers[api.Header.BATCH_SEQUENCE.value] = str(number)
            await client.publish("batch", payload, headers=dict(headers))
        headers |= {
            api.Header.BATCH_SEQUENCE.value: str(size),
            api.Header.BATCH_COMMIT.value: "1",
        }
        answer = await client.request("batch", payload, headers=headers, timeout=10)
        if f'"count":{size}'.encode() not in answer.data:
            raise OSError(f"a batch was not stored: {answer.data!r}")


GROUP = Group(IDS, measure, SECONDS)
