"""A worker whose clock is wrong: `python skewed_worker.py NATS_URL TOKEN WORK_ROOT SECONDS_AHEAD`.

It claims a job, says WORKING, reports now and then, and never ends.
"""

import asyncio
import sys
import time
from pathlib import Path

from google.protobuf.internal import well_known_types
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill_bus.bus import Bus
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.worker import Worker

CLAIM_SECONDS = 2.0


def set_clock(seconds_ahead: float) -> None:
    """Everything that this process says of the time is off by so much."""
    real_time = time.time

    def get_current_time(stamp: Timestamp) -> None:
        stamp.FromNanoseconds(int(time.time() * 1e9))

    time.time = lambda: real_time() + seconds_ahead
    well_known_types.Timestamp.GetCurrentTime = get_current_time


class Endless:
    kind = "dataset"

    async def is_ready(self, request: JobRequested) -> bool:
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        print("WORKING", flush=True)
        done = 0
        while True:
            done += 1
            await job.report("read", done=done)
            await asyncio.sleep(0.3)


async def main() -> None:
    url, token, work_root, seconds_ahead = sys.argv[1:]
    set_clock(float(seconds_ahead))
    async with Bus.connect(url, token, name="skewed") as bus:
        worker = Worker(
            bus,
            [Endless()],
            service="test",
            work_root=Path(work_root),
            claim_seconds=CLAIM_SECONDS,
        )
        await worker.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
