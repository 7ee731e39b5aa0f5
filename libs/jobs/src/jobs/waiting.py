"""The queue as a worker sees it: which jobs of its kinds wait, and whose turn it is."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_WISH_RUN,
    JobControl,
    JobRequested,
    JobResumed,
    JobState,
    JobStatus,
    JobWish,
)

from jobs.bus import Bus
from jobs.envelope import Stored
from jobs.fairness import WaitingJob, fair_order
from jobs.standing import TERMINAL, runs_again

Asked = Stored[JobRequested] | Stored[JobResumed]


@dataclass
class _Job:
    kind: str
    tenant: str
    asked: Asked
    """The newest message that asked for it."""
    status: JobStatus.ValueType = JOB_STATUS_QUEUED
    state_sequence: int = 0
    wish: JobWish.ValueType = JOB_WISH_RUN
    not_before: float = 0.0
    """On this process's clock."""

    @property
    def waits(self) -> bool:
        """Whether it is to run, and nobody works on it."""
        if self.wish != JOB_WISH_RUN:
            return False
        resumed_since = self.asked.sequence > self.state_sequence
        return self.status == JOB_STATUS_QUEUED or runs_again(
            self.status, self.wish, resumed_since=resumed_since
        )

    def as_waiting(self, job_id: str) -> WaitingJob:
        """As it stands in the queue."""
        priority = self.asked.body.priority or JOB_PRIORITY_NORMAL
        return WaitingJob(job_id, self.tenant, self.asked.sequence, priority)


class WaitingJobs:
    """Follows JOBS; keeps what has not ended. What it says may be a moment old.

    Args:
        retry_seconds: a job that failed waits so long for each of its failures.
    """

    def __init__(self, bus: Bus, kinds: Sequence[str], *, retry_seconds: float) -> None:
        self._bus = bus
        self._kinds = kinds
        self._retry_seconds = retry_seconds
        self._jobs: dict[str, _Job] = {}
        self._served: dict[str, dict[str, int]] = {kind: {} for kind in kinds}
        """When a tenant's last claim of a kind was, as a sequence of JOBS."""
        self._is_current = False
        self._sequence = 0
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        """Follow until cancelled."""
        asking = [
            f"job.{word}.{kind}.>" for word in ("requested", "resumed") for kind in self._kinds
        ]
        filters = [*asking, "job.control.*", "job.state.*"]
        async for stored in self._bus.follow(filters, on_current=self._caught_up):
            self._take(stored)
            async with self._moved:
                self._sequence = stored.sequence
                self._moved.notify_all()

    async def reach(self, sequence: int, within: float) -> None:
        """Return once everything up to `sequence` of JOBS is known, or that took too long.

        Args:
            within: seconds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within), self._moved:
                await self._moved.wait_for(lambda: self._sequence >= sequence)

    def next(self, kind: str, besides: Collection[str] = ()) -> Asked | None:
        """What asked for the job of this kind whose turn it is; None when that is not known.

        Args:
            besides: ids of jobs that are being claimed.
        """
        if not self._is_current:
            return None
        now = time.monotonic()
        of_kind = [(job_id, job) for job_id, job in self._jobs.items() if job.kind == kind]
        running = Counter(job.tenant for _, job in of_kind if job.status == JOB_STATUS_RUNNING)
        waiting = (
            job.as_waiting(job_id)
            for job_id, job in of_kind
            if job.waits and job.not_before <= now and job_id not in besides
        )
        first = next(fair_order(waiting, running, self._served[kind]), None)
        return None if first is None else self._jobs[first.job_id].asked

    def pass_over(self, job_id: str, seconds: float) -> None:
        """Let others go before it for a while."""
        if job_id in self._jobs:
            self._jobs[job_id].not_before = time.monotonic() + seconds

    def _caught_up(self) -> None:
        self._is_current = True

    def _take(self, stored: Stored[Any]) -> None:
        body = stored.body
        if isinstance(body, JobState):
            self._take_state(stored.sequence, body)
        elif isinstance(body, JobControl):
            if body.job_id in self._jobs:
                self._jobs[body.job_id].wish = body.wish
        elif isinstance(body, JobRequested | JobResumed):
            kind, tenant, job_id = stored.subject.split(".")[2:]
            job = self._jobs.setdefault(job_id, _Job(kind, tenant, stored))
            job.asked = stored

    def _take_state(self, sequence: int, state: JobState) -> None:
        job = self._jobs.get(state.job_id)
        if job is None:
            return
        if state.status == JOB_STATUS_RUNNING and not state.fence:
            # The claim itself: it cannot know the sequence that it is given.
            self._served[job.kind][job.tenant] = sequence
        job.status, job.state_sequence = state.status, sequence
        if state.status == JOB_STATUS_QUEUED and state.failures:
            job.not_before = time.monotonic() + self._retry_seconds * state.failures
        if state.status in TERMINAL and not job.waits:
            del self._jobs[state.job_id]


class Undelivered:
    """Stands for the delivery of a job that was taken in its turn without one.

    Its own delivery comes sooner or later, and finds it in good hands, over, or waiting again.
    """

    async def ack(self) -> None:
        """Nothing to acknowledge."""

    async def nak(self, delay: float | None = None) -> None:
        """Nothing to give back: the queue knows that the job waits again."""

    async def in_progress(self) -> None:
        """The job's progress says it."""
