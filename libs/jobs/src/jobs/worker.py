"""Claims jobs and sees each to its end: the loop around handlers."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobProgress,
    JobRequested,
    JobResult,
    JobResumed,
    JobState,
)
from nats.errors import Error as NatsError
from opentelemetry.trace import Status, StatusCode
from service_kit.errors import UnavailableError

from jobs.active import ActiveJob
from jobs.announcements import announce_unless_stored
from jobs.attempt import Attempt, Handler
from jobs.bus import Bus, decoded
from jobs.claims import TERMINAL, Claim
from jobs.envelope import Stored
from jobs.errors import Fenced, JobFailed, Preempted
from jobs.measures import JOB_SECONDS, JOBS_FINISHED
from jobs.subjects import job_progress, job_requested, job_state
from jobs.tracing import job_span, within

__all__ = ["Fenced", "JobFailed", "JobHandler", "Preempted", "Worker"]

log = logging.getLogger(__name__)

TURN_SECONDS = 0.5
"""How long one slot waits for one kind before it looks at the next."""
NOT_READY_SECONDS = 1.0


class JobHandler(Protocol):
    """Work of one kind."""

    kind: str

    async def is_ready(self, request: JobRequested) -> bool:
        """False leaves the job queued; it is offered again a second later."""

    async def __call__(self, job: ActiveJob) -> JobResult:
        """Do the work.

        Raises:
            JobFailed: it cannot succeed. Any other exception counts as a failure and the job is
                tried again, up to the limit.
        """


class Worker:
    """Works on jobs of its handlers' kinds until told to stop.

    Args:
        service: names the durable consumers, `<service>-work-<kind>`; all replicas share them.
        work_root: scratch for jobs, `<job>/<fence>`; nothing in it is needed after a crash.
        slots: jobs at a time.
        claim_seconds: a claim without a sign of life for this long is given to another worker.
        max_failures: attempts that a living worker saw fail before the job fails.
        max_lost: claims that ended without an outcome before the job fails.
        retry_seconds: delay before the first retry; grows with each.
        after_commit: called between a success's commit and its announcement, for crash tests.
    """

    def __init__(
        self,
        bus: Bus,
        handlers: Sequence[JobHandler],
        *,
        service: str,
        work_root: Path,
        slots: int = 1,
        claim_seconds: float = 30.0,
        max_failures: int = 3,
        max_lost: int = 20,
        retry_seconds: float = 2.0,
        after_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._bus = bus
        self._handlers = list(handlers)
        self._service = service
        self._work_root = work_root
        self._slots = slots
        self._claim_seconds = claim_seconds
        self._max_failures = max_failures
        self._max_lost = max_lost
        self._retry_seconds = retry_seconds
        self._after_commit = after_commit
        self._owner = f"{service}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._free = asyncio.Semaphore(slots)
        self._in_hand: set[str] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`; jobs in hand are then given back, within about ten seconds."""
        async with asyncio.TaskGroup() as tasks:
            for handler in self._handlers:
                for _ in range(self._slots):
                    tasks.create_task(self._serve(handler, stopping))

    async def _serve(self, handler: JobHandler, stopping: asyncio.Event) -> None:
        deliveries = self._bus.deliveries(
            f"{self._service}-work-{handler.kind}",
            [f"job.requested.{handler.kind}.>", f"job.resumed.{handler.kind}.>"],
            ack_wait_seconds=self._claim_seconds,
        )
        try:
            while not stopping.is_set():
                async with self._free:
                    delivery = await deliveries.next(timeout=TURN_SECONDS / len(self._handlers))
                    if delivery is not None:
                        await self._take(handler, delivery, stopping)
        finally:
            await deliveries.close()

    async def _take(self, handler: JobHandler, delivery: Any, stopping: asyncio.Event) -> None:
        """See one delivery through; whatever goes wrong, the next one gets its turn."""
        try:
            if stopping.is_set():
                await delivery.nak()
                return
            await self._decide(handler, delivery, stopping)
        except Fenced:
            log.info("another worker was quicker with %s", delivery.subject)
        except (UnavailableError, NatsError) as error:
            # Not acknowledged, so it comes again.
            log.warning("%s is left for later: %s", delivery.subject, error)
        except Exception:
            log.exception("%s is left for later", delivery.subject)

    async def _decide(self, handler: JobHandler, delivery: Any, stopping: asyncio.Event) -> None:
        woken_by = decoded(delivery)
        if woken_by is None:
            await delivery.term()
            return
        ordered = await self._order(woken_by)
        request = ordered.body
        before = await self._bus.last(job_state(request.job_id), JobState)
        if before is not None and _is_over(before, woken_by):
            with within(ordered.trace):
                await announce_unless_stored(self._bus, before.body)
            await delivery.ack()
        elif before is not None and await self._is_held(before):
            await delivery.nak(delay=self._claim_seconds / 4)
        elif not await _ready(handler, request):
            await delivery.nak(delay=NOT_READY_SECONDS)
        else:
            await self._claim(handler, delivery, stopping, ordered, before)

    async def _order(self, woken_by: Stored[Any]) -> Stored[JobRequested]:
        """The request behind a delivery, which may also be a resume."""
        if isinstance(woken_by.body, JobRequested):
            return woken_by
        kind, tenant, job_id = woken_by.subject.split(".")[2:]
        stored = await self._bus.last(job_requested(kind, tenant, job_id), JobRequested)
        if stored is None:
            raise LookupError(f"job {job_id} was resumed but never requested")
        return stored

    async def _is_held(self, before: Stored[JobState]) -> bool:
        """Whether the claim in force shows signs of life.

        The broker may deliver a job again although its worker lives, for one after a restart of
        its own. Claiming it would be safe, but would throw away work.
        """
        state = before.body
        if state.status != JOB_STATUS_RUNNING:
            return False
        if state.job_id in self._in_hand:
            return True
        progress = await self._bus.last(job_progress(state.job_id), JobProgress)
        if progress is None or progress.body.fence != (state.fence or before.sequence):
            return False
        age = time.time() - progress.body.at.ToNanoseconds() / 1e9
        return age < self._claim_seconds * 0.75

    async def _claim(
        self,
        handler: JobHandler,
        delivery: Any,
        stopping: asyncio.Event,
        ordered: Stored[JobRequested],
        before: Stored[JobState] | None,
    ) -> None:
        request = ordered.body
        claim = Claim(self._bus, request, _fresh(before), stopping)
        self._in_hand.add(request.job_id)
        try:
            with job_span(ordered) as span, JOB_SECONDS.labels(kind=handler.kind).time():
                await claim.take(self._owner)
                span.set_attribute("attempt", claim.state.attempt)
                attempt = self._attempt(request, claim, delivery, stopping)
                outcome = await attempt.run(self._within_limits(handler, claim))
                span.set_attribute("outcome", outcome)
                if outcome != "succeeded":
                    span.set_status(Status(StatusCode.ERROR, claim.state.error.code or outcome))
        finally:
            self._in_hand.discard(request.job_id)
        JOBS_FINISHED.labels(kind=handler.kind, outcome=outcome).inc()

    def _attempt(
        self, request: JobRequested, claim: Claim, delivery: Any, stopping: asyncio.Event
    ) -> Attempt:
        return Attempt(
            self._bus,
            request,
            claim,
            delivery,
            stopping,
            folder=self._work_root / request.job_id / str(claim.fence),
            claim_seconds=self._claim_seconds,
            max_failures=self._max_failures,
            retry_seconds=self._retry_seconds,
            after_commit=self._after_commit,
        )

    def _within_limits(self, handler: JobHandler, claim: Claim) -> Handler:
        """The handler, or the end of a job that took too many workers with it."""
        lost = claim.state.lost
        if lost <= self._max_lost:
            return handler

        async def refuse(_job: ActiveJob) -> JobResult:
            raise JobFailed(
                "WORKER_LOST",
                f"{lost} workers ended without a word while working on it",
                "It probably needs more memory than the workers have.",
            )

        return refuse


def _is_over(before: Stored[JobState], woken_by: Stored[Any]) -> bool:
    """Whether there is nothing to do; only a later resume wakes a job that ended or paused."""
    status = before.body.status
    if status == JOB_STATUS_SUCCEEDED:
        return True
    resumed = isinstance(woken_by.body, JobResumed) and woken_by.sequence > before.sequence
    return status in (*TERMINAL, JOB_STATUS_PAUSED) and not resumed


async def _ready(handler: JobHandler, request: JobRequested) -> bool:
    try:
        return await handler.is_ready(request)
    except Exception:
        # Whatever it stumbled over, the handler meets it too, where it is counted and told.
        log.exception("cannot tell whether %s is ready", request.job_id)
        return True


def _fresh(before: Stored[JobState] | None) -> Stored[JobState] | None:
    """The state that a claim goes on from; a resumed job starts with its counters at nought."""
    if before is None or before.body.status not in (*TERMINAL, JOB_STATUS_PAUSED):
        return before
    state = JobState()
    state.CopyFrom(before.body)
    state.status = JOB_STATUS_QUEUED
    state.lost = state.failures = 0
    state.ClearField("error")
    state.ClearField("finished_at")
    return replace(before, body=state)
