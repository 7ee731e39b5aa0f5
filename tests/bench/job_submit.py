"""How long a job takes to be accepted, over one acknowledged publish of the same broker.

Value: milliseconds from `JobQueue.submit` to its return, median of 50 one after another, real
nats-server with `sync_interval: always`. Floor: a bare JetStream publish of the same size.
"""

import statistics
import tempfile
import time
from pathlib import Path

import nats
from jobs.bus import Bus
from jobs.submit import JobQueue
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from testkit.nats_server import run_nats

from tests.bench.harness import Entry, interleaved, ratio_with_interval

SUBMITS = 50
GOAL_RATIO = 3.0


async def job_submit() -> Entry:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            run_nats(Path(folder)) as server,
            Bus.connect(server.url, server.token, name="bench") as bus,
        ):
            connection = await nats.connect(server.url, token=server.token)
            stream = connection.jetstream()
            await stream.add_stream(name="FLOOR", subjects=["floor"])
            queue = JobQueue(bus)
            spec = TrainSpec(base_version_id="mv-1", dataset_id="ds-1", name="bench")

            async def ours() -> float:
                return await _median_ms(
                    lambda: queue.submit(
                        kind="train",
                        prefix="ftjob",
                        tenant="bench",
                        requested_by="bench",
                        idempotency_key="",
                        spec=spec,
                    )
                )

            async def floor() -> float:
                return await _median_ms(lambda: stream.publish("floor", b"x" * 512))

            rounds = await interleaved({"ours": ours, "floor": floor}, title="job submit")
            await connection.close()
    ratio, low, high = ratio_with_interval(rounds["ours"], rounds["floor"])
    return Entry(
        id="job.submit",
        value=statistics.median(rounds["ours"]),
        unit="ms",
        against="bare JetStream publish, fsynced",
        ratio=ratio,
        goal=f"ratio <= {GOAL_RATIO:g}",
        met=ratio <= GOAL_RATIO,
        ci95=(low, high),
        note="one at a time, one broker",
    )


async def _median_ms(call) -> float:
    taken = []
    for _ in range(SUBMITS):
        started = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)
