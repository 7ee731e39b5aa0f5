"""Work for the machine: a chain of hashes in the worker's own process, as a child would do it."""

import asyncio
import hashlib
from typing import Any

from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import MODEL_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed, Preempted


class ChainWork:
    """A handler of kind train.

    Args:
        store: checkpoints by digest; it outlives every worker.
        mishaps: how often each job has still to fail.
    """

    kind = "train"

    def __init__(self, store: dict[str, tuple[str, int]], failing: dict[str, int]) -> None:
        self._store = store
        self._failing = failing

    async def is_ready(self, request: JobRequested) -> bool:
        """At any time."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        """Step by step from the last checkpoint on."""
        spec = dict(job.spec(Struct))
        value, done = self._store[job.checkpoint.digest] if job.checkpoint else ("", 0)
        for step in range(done + 1, int(spec["steps"]) + 1):
            await asyncio.sleep(spec["step_seconds"])
            value = hashlib.sha256(f"{value}{job.job_id}{step}".encode()).hexdigest()
            self._misbehave(job.job_id, step, spec)
            await job.report("chain", done=step, total=int(spec["steps"]))
            told = bool(spec["heeds"]) and job._stop.is_set()
            if told or step % int(spec["save_every"]) == 0:
                await self._save(job, value, step)
            if told:
                raise Preempted
        return _result(job, value)

    async def _save(self, job: ActiveJob, value: str, step: int) -> None:
        digest = f"{job.job_id}-{job.fence}-{step}"
        self._store[digest] = (value, step)
        await job.save_checkpoint(digest, step)

    def _misbehave(self, job_id: str, step: int, spec: dict[str, Any]) -> None:
        if step == int(spec["refuse_at"]):
            raise JobFailed("REFUSED", "as it was asked to")
        if self._failing.get(job_id, int(spec["failures"])) > 0 and step == 1:
            self._failing[job_id] = self._failing.get(job_id, int(spec["failures"])) - 1
            raise ArithmeticError("as it was asked to")


def _result(job: ActiveJob, value: str) -> JobResult:
    version_id = derived_id("mv", job.job_id)
    announcement = Struct()
    announcement.update({"version_id": version_id, "tenant": job.tenant, "job_id": job.job_id})
    return JobResult(
        digest=value,
        version_id=version_id,
        announce_subject=MODEL_READY,
        announcement=announcement,
    )
