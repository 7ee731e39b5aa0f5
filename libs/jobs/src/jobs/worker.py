"""Claims jobs and sees each to its end: the loop around handlers."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from modelmill.jobs.v1.job_pb2 import JOB_WISH_RUN, JobRequested, JobResult
from nats.errors import Error as NatsError
from opentelemetry.trace import Status, StatusCode
from service_kit.errors import UnavailableError

from jobs.active import ActiveJob
from jobs.announcements import announce_unless_stored
from jobs.attempt import Attempt, Handler
from jobs.bus import Bus
from jobs.claims import Claim
from jobs.envelope import Stored
from jobs.errors import Fenced, JobFailed, Preempted
from jobs.handling import decoded
from jobs.kinds import work_consumer
from jobs.measures import JOB_SECONDS, JOBS_FINISHED
from jobs.offers import Offer
from jobs.parking import park
from jobs.tracing import job_span, process_span, within
from jobs.waiting import Undelivered, WaitingJobs
from jobs.wishes import HeardWish, StopOrder, Wishes

__all__ = ["Fenced", "JobFailed", "JobHandler", "Preempted", "Worker"]

log = logging.getLogger(__name__)

TURN_SECONDS = 0.5
"""How long one slot waits for one kind before it looks at the next."""
NOT_READY_SECONDS = 1.0
OUT_OF_TURN_SECONDS = 0.5
"""A job whose turn it is not is offered again this soon."""
LOOKS = 8
"""Jobs whose turn it is that may turn out to be taken or not ready, before another delivery."""
AS_ASKED = ("succeeded", "paused", "cancelled", "withdrawn")
"""Outcomes that are nobody's failure."""


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
        self._wishes = Wishes(bus)
        kinds = [handler.kind for handler in self._handlers]
        self._written = 0
        """Sequence of the newest state that this worker wrote."""
        self._waiting = WaitingJobs(bus, kinds, retry_seconds=retry_seconds)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`; jobs in hand are then given back, within about ten seconds."""
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.run()) for each in (self._wishes, self._waiting)]
            async with asyncio.TaskGroup() as serving:
                for handler in self._handlers:
                    for _ in range(self._slots):
                        serving.create_task(self._serve(handler, stopping))
            for task in following:
                task.cancel()

    async def _serve(self, handler: JobHandler, stopping: asyncio.Event) -> None:
        deliveries = self._bus.deliveries(
            work_consumer(self._service, handler.kind),
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
        woken_by: Stored[Any] | None = decoded(delivery)
        if woken_by is None:
            await delivery.term()
            return
        job_id = woken_by.body.job_id
        with self._wishes.listen(job_id) as heard:
            # The state first: whoever wishes something else looks at it after writing the wish.
            offer = await Offer.read(self._bus, woken_by)
            wish = await heard.look()
            if offer.before is not None and offer.is_over(wish):
                with within(offer.ordered.trace):
                    await announce_unless_stored(self._bus, offer.before.body)
                await delivery.ack()
            elif offer.is_running and await self._is_held(offer):
                await delivery.nak(delay=self._claim_seconds / 4)
            elif wish != JOB_WISH_RUN:
                await self._park(offer, heard, delivery, stopping)
            elif not await _ready(handler, offer.ordered.body):
                await delivery.nak(delay=NOT_READY_SECONDS)
            else:
                await self._take_turn(handler, delivery, StopOrder(stopping, heard), offer)

    async def _take_turn(
        self, handler: JobHandler, delivery: Any, stop: StopOrder, offer: Offer
    ) -> None:
        """Claim the job that was delivered, or the one whose turn comes before it."""
        # Whoever asked before our last job ended is known from here on.
        await self._waiting.reach(self._written, within=TURN_SECONDS)
        for _ in range(LOOKS):
            first = self._waiting.next(handler.kind, besides=self._in_hand)
            if first is None or first.body.job_id == offer.ordered.body.job_id:
                await self._claim(handler, delivery, stop, offer)
                return
            if await self._works_instead(handler, first, delivery, stop.process):
                return
        await delivery.nak(delay=OUT_OF_TURN_SECONDS)

    async def _works_instead(
        self, handler: JobHandler, asked: Stored[Any], delivery: Any, stopping: asyncio.Event
    ) -> bool:
        """Give the delivery back and see to the job that was asked for; false if it cannot be."""
        job_id = asked.body.job_id
        with self._wishes.listen(job_id) as heard:
            offer = await Offer.read(self._bus, asked)
            wish = await heard.look()
            waits = wish == JOB_WISH_RUN and not (offer.is_running or offer.is_over(wish))
            if not waits or not await _ready(handler, offer.ordered.body):
                self._waiting.pass_over(job_id, NOT_READY_SECONDS)
                return False
            await delivery.nak(delay=OUT_OF_TURN_SECONDS)
            await self._claim(handler, Undelivered(), StopOrder(stopping, heard), offer)
            return True

    async def _is_held(self, offer: Offer) -> bool:
        if offer.ordered.body.job_id in self._in_hand:
            return True
        return await offer.shows_life(self._bus, self._claim_seconds * 0.75)

    async def _park(
        self, offer: Offer, heard: HeardWish, delivery: Any, stopping: asyncio.Event
    ) -> None:
        """Let the job's state be what is wished, where its owner did not get round to it."""
        wish = heard.wish
        with process_span("job.control.*", heard.trace):
            await park(self._bus, offer.ordered.body, offer.before, wish, stopping)
        if await heard.look() == wish:
            await delivery.ack()
        else:
            await delivery.nak()

    async def _claim(
        self, handler: JobHandler, delivery: Any, stop: StopOrder, offer: Offer
    ) -> None:
        request = offer.ordered.body
        claim = Claim(self._bus, request, offer.start, stop.process)
        self._in_hand.add(request.job_id)
        try:
            with (
                job_span(offer.ordered, offer.woken_by) as span,
                JOB_SECONDS.labels(kind=handler.kind).time(),
            ):
                await claim.take(self._owner)
                span.set_attribute("attempt", claim.state.attempt)
                attempt = self._attempt(request, claim, delivery, stop)
                outcome = await attempt.run(self._within_limits(handler, claim))
                span.set_attribute("outcome", outcome)
                if outcome not in AS_ASKED:
                    span.set_status(Status(StatusCode.ERROR, claim.state.error.code or outcome))
        finally:
            self._in_hand.discard(request.job_id)
            self._written = max(self._written, claim.last_written)
        JOBS_FINISHED.labels(kind=handler.kind, outcome=outcome).inc()

    def _attempt(
        self, request: JobRequested, claim: Claim, delivery: Any, stop: StopOrder
    ) -> Attempt:
        return Attempt(
            self._bus,
            request,
            claim,
            delivery,
            stop,
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


async def _ready(handler: JobHandler, request: JobRequested) -> bool:
    try:
        return await handler.is_ready(request)
    except Exception:
        # Whatever it stumbled over, the handler meets it too, where it is counted and told.
        log.exception("cannot tell whether %s is ready", request.job_id)
        return True
