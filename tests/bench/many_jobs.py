"""Seconds until a ledger of many jobs is ready: `python -m tests.bench.many_jobs 100000`."""

import asyncio
import hashlib
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import nats
import uvloop
from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobRequested,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import encode, headers_for
from modelmill_bus.subjects import job_requested, job_state
from modelmill_job_index.index import JobIndex
from modelmill_job_index.snapshots import Snapshots
from modelmill_testkit.nats_server import run_nats

UNDER_WAY = 2000
"""Publishes that wait for their acknowledgement at a time."""


async def fill(url: str, token: str, jobs: int) -> None:
    """Store four messages for each job: requested, claimed, saved a checkpoint, succeeded."""
    connection = await nats.connect(url, token=token)
    stream = connection.jetstream(publish_async_max_pending=UNDER_WAY, timeout=60)
    room, failed = asyncio.Semaphore(UNDER_WAY), []

    def settled(future: "asyncio.Future[object]") -> None:
        room.release()
        if future.exception() is not None:
            failed.append(future.exception())

    for subject, body in _messages(jobs):
        await room.acquire()
        headers = headers_for(body, subject=subject, source="bench", msg_id=None)
        headers["traceparent"] = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
        future = await stream.publish_async(subject, encode(body), headers=headers)
        future.add_done_callback(settled)
    for _ in range(UNDER_WAY):
        await room.acquire()
    await connection.close()
    if failed:
        raise RuntimeError(f"{len(failed)} messages were not stored: {failed[0]}")


def _messages(jobs: int) -> Iterator[tuple[str, Message]]:
    for number in range(jobs):
        job_id = f"ftjob-{uuid.uuid4().hex}"
        spec_sha256 = hashlib.sha256(job_id.encode()).hexdigest()
        requested = JobRequested(
            job_id=job_id,
            kind="train",
            tenant=f"tenant-{number % 10}",
            requested_by="bench",
            spec_type="modelmill.trainer.v1.TrainSpec",
            spec_sha256=spec_sha256,
        )
        requested.spec.update(
            {"base_version_id": f"mv-{number}", "dataset_id": f"ds-{number}", "epochs": 3}
        )
        requested.requested_at.GetCurrentTime()
        yield job_requested("train", requested.tenant, job_id), requested
        yield from ((job_state(job_id), state) for state in _states(requested))


def _states(requested: JobRequested) -> Iterator[JobState]:
    state = JobState(
        job_id=requested.job_id,
        kind=requested.kind,
        tenant=requested.tenant,
        status=JOB_STATUS_RUNNING,
        attempt=1,
        owner="trainer-bench-1",
        nonce=uuid.uuid4().hex,
    )
    state.started_at.GetCurrentTime()
    state.updated_at.GetCurrentTime()
    yield state
    state.checkpoint.digest, state.checkpoint.step = requested.spec_sha256, 100
    state.fence, state.nonce = 1, uuid.uuid4().hex
    yield state
    state.status, state.nonce = JOB_STATUS_SUCCEEDED, uuid.uuid4().hex
    state.result.digest, state.result.version_id = requested.spec_sha256, f"mv-{uuid.uuid4().hex}"
    state.result.announce_subject = "model.ready"
    state.result.announcement.update({"version_id": state.result.version_id, "form": "adapter"})
    state.result.summary.update({"loss": 1.25, "steps": 100})
    state.finished_at.GetCurrentTime()
    state.updated_at.GetCurrentTime()
    yield state


async def _measure(jobs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            run_nats(Path(folder)) as server,
            Bus.connect(server.url, server.token, name="bench") as bus,
        ):
            await fill(server.url, server.token, jobs)
            began = time.perf_counter()
            ledger, following = await _started(bus, None)
            print(f"{jobs} jobs, ready without a snapshot: {time.perf_counter() - began:.1f} s")
            await Snapshots(bus).save(ledger.book, ledger.sequence)
            following.cancel()
            began = time.perf_counter()
            _, following = await _started(bus, Snapshots(bus))
            print(f"{jobs} jobs, ready from a snapshot: {time.perf_counter() - began:.1f} s")
            following.cancel()


async def _started(bus: Bus, snapshots: Snapshots | None) -> tuple[JobIndex, "asyncio.Task[None]"]:
    ledger = JobIndex(bus, snapshots)
    following = asyncio.create_task(ledger.run())
    await ledger.ready.wait()
    return ledger, following


if __name__ == "__main__":
    uvloop.run(_measure(int(sys.argv[1])))
