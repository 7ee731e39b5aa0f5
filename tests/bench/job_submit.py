"""job.submit: how long a job takes to be accepted, over one acknowledged publish.

Value: milliseconds from `JobQueue.submit` to its return, median of 50 one after another, real
nats-server with `sync_interval: always`. Floor: a bare JetStream publish of the same size. Rival:
none.
"""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.bus import Bus
from modelmill_jobs.submit import JobQueue
from modelmill_testkit.nats_server import run_nats

from tests.bench.figures import Figures, Goal, Line
from tests.bench.harness import Group, Run

ID = "job.submit"
SUBMITS = 50
SECONDS = 8.0
TAKEN = "ms"
GOAL = Goal(3.0)


async def measure(run: Run) -> list[Line]:
    """One entry."""
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

            async def ours() -> Figures:
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

            async def floor() -> Figures:
                return await _median_ms(lambda: stream.publish("floor", b"x" * 512))

            contestants = {"ours": ours, "floor": floor}
            rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=[TAKEN])
            await connection.close()
    against, note = "bare JetStream publish, fsynced", "one at a time, one broker"
    return [rounds.line(ID, TAKEN, unit=TAKEN, against=against, goal=GOAL, note=note)]


async def _median_ms(call: Callable[[], Awaitable[object]]) -> Figures:
    taken = []
    for _ in range(SUBMITS):
        started = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - started) * 1e3)
    return {TAKEN: statistics.median(taken)}


GROUP = Group((ID,), measure, SECONDS)
