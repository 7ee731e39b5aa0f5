"""The worker: claims jobs and runs their handlers."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_SUCCEEDED,
    JobRequested,
    JobResumed,
)
from modelmill.jobs.v1.job_service_pb2 import WorkerLoad
from modelmill_bus.bus import Bus
from modelmill_bus.deliveries import decoded
from modelmill_bus.envelope import Stored, links_to, process_span, within
from modelmill_bus.kinds import work_consumer
from modelmill_service_kit.machine_size import MachineSize
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from prometheus_client import Counter, Histogram

from modelmill_jobs.active import DEFAULT_TIMEOUTS, AttemptTimeouts, JobHandler, is_ready
from modelmill_jobs.announcements import announce_unless_stored
from modelmill_jobs.attempt import (
    AfterSuccess,
    Attempt,
    AttemptRules,
    left_for_later,
    nothing_left,
    unless_lost,
)
from modelmill_jobs.claims import Claim
from modelmill_jobs.control import finalize_unclaimed
from modelmill_jobs.control_signals import ControlSignal, ControlSignals, StopOrder
from modelmill_jobs.errors import Fenced, JobFailed, Preempted
from modelmill_jobs.job_status import JobView
from modelmill_jobs.sizes import WorkerCapacity, as_resources, size_of
from modelmill_jobs.waiting import NO_SHORT_JOBS, ShortJobs, ShortSlots, Undelivered, WaitingJobs

tracer = trace.get_tracer(__name__)


@contextmanager
def job_span(ordered: Stored[JobRequested], woken_by: Stored[Any]) -> Iterator[Span]:
    """The span of one attempt, in the trace of the request for the job.

    A job that runs because somebody resumed it runs in that person's trace, with a link to the
    request's.
    """
    request = ordered.body
    resumed = isinstance(woken_by.body, JobResumed)
    attributes = {"job.id": request.job_id, "job.kind": request.kind, "tenant": request.tenant}
    with tracer.start_as_current_span(
        f"job {request.kind}",
        context=woken_by.trace if resumed else ordered.trace,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=links_to(ordered.trace) if resumed else (),
    ) as span:
        yield span


JOBS_FINISHED = Counter(
    "modelmill_jobs_finished", "Claims that ended, by what became of them.", ["kind", "outcome"]
)
JOB_SECONDS = Histogram(
    "modelmill_job_seconds",
    "Seconds from claim to outcome.",
    ["kind"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600),
)


__all__ = ["Fenced", "JobFailed", "JobHandler", "Preempted", "Worker"]

NOT_READY_SECONDS = 1.0
OUT_OF_TURN_SECONDS = 0.5
"""A job whose turn it is not is offered again this soon."""
ORDER_SECONDS = 2.0
"""How long the queue may take to tell what was asked before our last job ended."""
CONFIRM_SECONDS = 5.0
"""How long the queue may take to tell of our own claim, where it must be known."""
LOOKS = 8
"""Jobs whose turn it is that may turn out to be taken or not ready, before another delivery."""
AS_ASKED = ("succeeded", "paused", "cancelled", "withdrawn", "yielded")
"""Outcomes that are nobody's failure."""


class Worker:
    """Works on jobs of its handlers' kinds until told to stop.

    Args:
        service: names the durable consumers, `<service>-work-<kind>`; all replicas share them.
        work_root: scratch for jobs, `<job>/<fence>`; nothing in it is needed after a crash.
        slots: jobs at a time.
        short: what is kept for short jobs beside them.
        size: what this process has for all its jobs together; it claims only what fits next to
            those in hand. None claims whatever comes.
        jobs_per_tenant: jobs of one tenant and kind in work at a time, over all workers that are
            told the same; 0 for any number.
        claim_seconds: a claim without a sign of life for this long is given to another worker.
        max_failures: attempts that a living worker saw fail before the job fails.
        max_lost: claims that ended without an outcome before the job fails.
        retry_seconds: delay before the first retry; grows with each.
        timeouts: of each attempt.
        turn_seconds: how long one slot waits for one kind before it looks at the next.
        after_commit: called between a success's commit and its announcement, for crash tests.
        after_success: told the id of a job that has succeeded, before the job is let go of and
            again after a crash; a job that can still be resumed is none.
    """

    def __init__(
        self,
        bus: Bus,
        handlers: Sequence[JobHandler],
        *,
        service: str,
        work_root: Path,
        slots: int = 1,
        short: ShortJobs = NO_SHORT_JOBS,
        size: MachineSize | None = None,
        jobs_per_tenant: int = 0,
        claim_seconds: float = 30.0,
        max_failures: int = 3,
        max_lost: int = 20,
        retry_seconds: float = 2.0,
        timeouts: AttemptTimeouts = DEFAULT_TIMEOUTS,
        turn_seconds: float = 0.5,
        after_commit: Callable[[], None] = lambda: None,
        after_success: AfterSuccess = nothing_left,
    ) -> None:
        self._bus = bus
        self._handlers = list(handlers)
        self._service, self._work_root = service, work_root
        self._slots, self._short = slots, short
        self._claim_seconds, self._turn_seconds = claim_seconds, turn_seconds
        self._max_lost, self._jobs_per_tenant = max_lost, jobs_per_tenant
        self._rules = AttemptRules(
            claim_seconds, max_failures, retry_seconds, after_commit, after_success, timeouts
        )
        self._owner = f"{service}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._free, self._capacity = asyncio.Semaphore(slots), WorkerCapacity(size)
        self._short_slots: ShortSlots | None = None
        self._control_signals = ControlSignals(bus)
        kinds = [handler.kind for handler in self._handlers]
        self._written = 0
        """Sequence of the newest state that this worker wrote."""
        self._waiting = WaitingJobs(
            bus, kinds, retry_seconds=retry_seconds, jobs_per_tenant=jobs_per_tenant
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`; jobs in hand are then given back, within about ten seconds."""
        async with asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(each.run()) for each in (self._control_signals, self._waiting)
            ]
            async with asyncio.TaskGroup() as serving:
                for handler in self._handlers:
                    serving.create_task(self._serve(handler, stopping))
                self._short_slots = self._slots_for_short(stopping)
                serving.create_task(self._short_slots.run(stopping))
            for task in following:
                task.cancel()

    @property
    def load(self) -> WorkerLoad:
        """What it can take, and what it has in hand."""
        held, size, free = self._capacity.job_ids, self._capacity.size, self._capacity.free
        taken_as_short = self._short_slots.job_ids if self._short_slots is not None else frozenset()
        short = held & taken_as_short
        return WorkerLoad(
            worker=self._owner,
            kinds=[handler.kind for handler in self._handlers],
            slots=self._slots,
            busy_slots=len(held - short),
            short_slots=self._short.slots,
            busy_short_slots=len(short),
            size=None if size is None else as_resources(size),
            free=None if free is None else as_resources(free),
        )

    def _slots_for_short(self, stopping: asyncio.Event) -> ShortSlots:
        async def take(handler: JobHandler, asked: Stored[Any]) -> bool:
            async with left_for_later(asked.subject):
                return await self._works_instead(handler, asked, Undelivered(), stopping)
            return False

        parts = (self._short, self._waiting, self._capacity, self._handlers)
        return ShortSlots(*parts, slots=self._slots, take=take)

    async def _serve(self, handler: JobHandler, stopping: asyncio.Event) -> None:
        """Work on one kind in as many slots as come free for it.

        One task at a time waits for a delivery: a request to the broker each turn, not one for
        each idle slot.
        """
        deliveries = self._bus.deliveries(
            work_consumer(self._service, handler.kind),
            [f"job.requested.{handler.kind}.>", f"job.resumed.{handler.kind}.>"],
            ack_wait_seconds=self._claim_seconds,
        )
        pulling = asyncio.Lock()

        async def serve_slot() -> None:
            while not stopping.is_set():
                async with AsyncExitStack() as slot:
                    async with pulling:
                        await slot.enter_async_context(self._free)
                        # One of many, it may have waited here until long after the end.
                        if stopping.is_set():
                            return
                        delivery = await deliveries.next(turn_seconds)
                    if delivery is not None:
                        await self._take(handler, delivery, stopping)

        turn_seconds = self._turn_seconds / len(self._handlers)
        try:
            async with asyncio.TaskGroup() as slots:
                for _ in range(self._slots):
                    slots.create_task(serve_slot())
        finally:
            await deliveries.close()

    async def _take(self, handler: JobHandler, delivery: Any, stopping: asyncio.Event) -> None:
        """See one delivery through; whatever goes wrong, the next one gets its turn."""
        async with left_for_later(delivery.subject):
            if stopping.is_set():
                await delivery.nak()
                return
            await self._decide(handler, delivery, stopping)

    async def _decide(self, handler: JobHandler, delivery: Any, stopping: asyncio.Event) -> None:
        woken_by: Stored[Any] | None = decoded(delivery)
        if woken_by is None:
            await delivery.term()
            return
        job_id = woken_by.body.job_id
        with self._control_signals.listen(job_id) as heard:
            # The state first: whoever asks for something else looks at it after writing the
            # desired state.
            job_view = await JobView.read(self._bus, woken_by)
            desired_state = await heard.look()
            if job_view.before is not None and job_view.is_over(desired_state):
                with within(job_view.ordered.trace):
                    await announce_unless_stored(self._bus, job_view.before.body)
                    if job_view.before.body.status == JOB_STATUS_SUCCEEDED:
                        await self._rules.after_success(job_id)
                await delivery.ack()
            elif job_view.is_running and await self._is_held(job_view):
                await delivery.nak(delay=self._claim_seconds / 4)
            elif desired_state != JOB_DESIRED_STATE_RUN:
                await self._finalize(job_view, heard, delivery, stopping)
            elif not await is_ready(handler, job_view.ordered.body):
                await delivery.nak(delay=NOT_READY_SECONDS)
            else:
                await self._take_turn(handler, delivery, StopOrder(stopping, heard), job_view)

    async def _take_turn(
        self, handler: JobHandler, delivery: Any, stop: StopOrder, job_view: JobView
    ) -> None:
        """Claim the job that was delivered, or the one whose turn comes before it."""
        # Whoever asked before our last job ended is known from here on.
        await self._waiting.reach(self._written, within=ORDER_SECONDS)
        if job_view.is_running and self._may_claim(job_view):
            # Its owner died. It had its turn, and must not wait until nobody else does.
            await self._claim(handler, delivery, stop, job_view)
            return
        for _ in range(LOOKS):
            first = self._waiting.next(handler.kind, self._capacity)
            if first is None or first.body.job_id == job_view.ordered.body.job_id:
                if self._may_claim(job_view):
                    await self._claim(handler, delivery, stop, job_view)
                    return
                break
            # A smaller one that overtook it now would do so again and again.
            if not self._capacity.have_room_for(size_of(first.body.needs)):
                break
            if await self._works_instead(handler, first, delivery, stop.process):
                return
        else:
            await delivery.nak(delay=OUT_OF_TURN_SECONDS)
            return
        await delivery.nak(delay=OUT_OF_TURN_SECONDS)
        # Others that wait for the same are offered next, and nothing but an end helps them.
        await self._waiting.news(within=OUT_OF_TURN_SECONDS)

    def _may_claim(self, job_view: JobView) -> bool:
        """Whether there is room for it, and its tenant may have one more in work."""
        request = job_view.ordered.body
        if not self._capacity.can_take(request.job_id, size_of(request.needs)):
            return False
        # One that was lost is in work already, and only taken over.
        return job_view.is_running or not self._waiting.is_full(request.kind, request.tenant)

    async def _works_instead(
        self, handler: JobHandler, asked: Stored[Any], delivery: Any, stopping: asyncio.Event
    ) -> bool:
        """Give the delivery back and see to the job that was asked for; false if it cannot be."""
        job_id = asked.body.job_id
        with self._control_signals.listen(job_id) as heard:
            job_view = await JobView.read(self._bus, asked)
            desired_state = await heard.look()
            waits = desired_state == JOB_DESIRED_STATE_RUN and not (
                job_view.is_running or job_view.is_over(desired_state)
            )
            if not waits or not await is_ready(handler, job_view.ordered.body):
                self._waiting.pass_over(job_id, NOT_READY_SECONDS)
                return False
            await delivery.nak(delay=OUT_OF_TURN_SECONDS)
            if self._capacity.can_take(job_id, size_of(job_view.ordered.body.needs)):
                await self._claim(handler, Undelivered(), StopOrder(stopping, heard), job_view)
            return True

    async def _is_held(self, job_view: JobView) -> bool:
        if job_view.ordered.body.job_id in self._capacity.job_ids:
            return True
        return await job_view.shows_life(self._bus, self._claim_seconds * 0.75)

    async def _finalize(
        self, job_view: JobView, heard: ControlSignal, delivery: Any, stopping: asyncio.Event
    ) -> None:
        """Let the job's state be the desired state, where its owner did not get round to it."""
        desired_state = heard.desired_state
        with process_span("job.control.*", heard.trace):
            await finalize_unclaimed(
                self._bus, job_view.ordered.body, job_view.before, desired_state, stopping
            )
        if await heard.look() == desired_state:
            await delivery.ack()
        else:
            await delivery.nak()

    async def _claim(
        self, handler: JobHandler, delivery: Any, stop: StopOrder, job_view: JobView
    ) -> None:
        request = job_view.ordered.body
        claim = Claim(self._bus, request, job_view.start, stop.process)
        try:
            with (
                self._capacity.hold(request.job_id, size_of(request.needs)),
                job_span(job_view.ordered, job_view.woken_by) as span,
                JOB_SECONDS.labels(kind=handler.kind).time(),
            ):
                await claim.take(self._owner, self._capacity.size)
                span.set_attribute("attempt", claim.state.attempt)
                outcome = await self._see_through(handler, delivery, stop, request, claim)
                span.set_attribute("outcome", outcome)
                if outcome not in AS_ASKED:
                    span.set_status(Status(StatusCode.ERROR, claim.state.error.code or outcome))
        finally:
            self._written = max(self._written, claim.last_written)
        JOBS_FINISHED.labels(kind=handler.kind, outcome=outcome).inc()

    async def _see_through(
        self,
        handler: JobHandler,
        delivery: Any,
        stop: StopOrder,
        request: JobRequested,
        claim: Claim,
    ) -> str:
        """Work on a claimed job, unless others of its tenant's were claimed before it."""
        if not await self._waiting.is_within_limit(request.job_id, claim.fence, CONFIRM_SECONDS):
            await claim.give_back()
            await delivery.nak(delay=OUT_OF_TURN_SECONDS)
            return "yielded"
        folder = self._work_root / request.job_id / str(claim.fence)
        of_claim = (self._bus, request, claim, delivery, stop)
        attempt = Attempt(*of_claim, folder=folder, rules=self._rules)
        return await attempt.run(unless_lost(handler, claim.state.lost, self._max_lost))
