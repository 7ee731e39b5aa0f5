"""Use case: a request's turn at an engine, in front of which others may stand."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from modelmill_service_kit.errors import DomainError

from modelmill_inference.domain.admission import Admission, AdmissionLimits, Ask, Place, Ticket
from modelmill_inference.domain.generation import ModelLimits
from modelmill_inference.engine import Engine
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.metrics import ADMITTED_TOKENS, QUEUED, REFUSALS, WAIT_SECONDS
from modelmill_inference.resumed_answer import time_to_end

REASONS = ("queue_full", "no_time", "too_large", "deadline_exceeded", "unavailable")
"""Why a request may not come to its turn."""


@dataclass(frozen=True, slots=True)
class AdmissionPlan:
    """How engines are shared; the same for every version."""

    sequences: int
    """That an engine generates together."""
    waiting: int
    """Requests in the queue of an engine."""
    tokens: int
    """In flight in an engine; 0 for what its cache holds."""
    cache_bytes: int
    """Of each engine's cache."""
    seconds: float
    """Deadline of callers who name none."""

    def limits_of(self, model: ModelLimits) -> AdmissionLimits:
        """A request that fits into the model's context always fits into the budget by default."""
        most = self.sequences * model.context_tokens
        cached = self.cache_bytes // model.token_bytes if model.token_bytes else most
        tokens = self.tokens or min(most, max(cached, model.context_tokens))
        return AdmissionLimits(tokens, self.sequences, self.waiting)


class QueueTicket:
    """A request that runs; what it is given is told here."""

    def __init__(self, admission: Admission, ticket: Ticket) -> None:
        self.ended = False
        """To be set once its answers came to their end."""
        self._admission = admission
        self._ticket = ticket
        self._clock = asyncio.get_running_loop().time

    def ends_at(self) -> float:
        """When to end an answer that nobody limited, by the event loop's clock."""
        return time_to_end(self._clock(), self._ticket.deadline)

    def hear(self, tokens: int) -> None:
        """It was given tokens."""
        self._admission.hear(self._ticket, tokens, now=self._clock())


class AdmitRequests:
    """The queue in front of one engine."""

    def __init__(self, version_id: str, limits: AdmissionLimits, *, seconds: float) -> None:
        self._admission = Admission(limits)
        self._seconds = seconds
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._queued = QUEUED.labels(version_id)
        self._admitted_tokens = ADMITTED_TOKENS.labels(version_id)

    def foresee(self, tenant: str, deadline: float | None) -> None:
        """Refuse, before its texts are read, what would be refused whatever they are; see `turn`.

        What a full queue cannot take must not cost the time of those who wait in it.
        """
        with self._counted():
            self._settle()
            now = asyncio.get_running_loop().time()
            self._admission.foresee(tenant, deadline=self._deadline(deadline, now), now=now)

    @asynccontextmanager
    async def turn(self, ask: Ask, deadline: float | None) -> AsyncIterator[QueueTicket]:
        """The request's time at the engine; leaving the block, however, gives its room to others.

        Args:
            deadline: by the event loop's clock; None is the default's.

        Raises:
            TooLargeError: it would not even fit into the idle engine.
            OverloadedError: it would not be answered in time, or too many wait; nothing was begun.
            DeadlineError: its deadline passed while it waited.
            UnavailableError: this replica stops.
        """
        clock = asyncio.get_running_loop().time
        began, turn = clock(), None
        with self._counted():
            self._settle()
            ticket = self._admission.ask(ask, deadline=self._deadline(deadline, began), now=began)
        self._settle()
        try:
            with self._counted():
                await self._until_settled(ticket)
            WAIT_SECONDS.observe(clock() - began)
            turn = QueueTicket(self._admission, ticket)
            yield turn
        finally:
            self._admission.leave(ticket, now=clock(), ended=turn is not None and turn.ended)
            self._settle()

    def close(self) -> None:
        """Refuse those that wait and those that come; those that run are let finish."""
        for ticket in self._admission.close():
            self._tell(ticket)

    def _deadline(self, given: float | None, now: float) -> float:
        return now + self._seconds if given is None else given

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except DomainError as refusal:
            REFUSALS.labels(refusal.reason.lower()).inc()
            raise

    async def _until_settled(self, ticket: Ticket) -> None:
        if ticket.place is Place.WAITING:
            self._waiters[ticket] = asyncio.get_running_loop().create_future()
            try:
                with self._queued.track_inprogress():
                    await self._waiters[ticket]
            finally:
                del self._waiters[ticket]
        if ticket.refusal is not None:
            raise ticket.refusal

    def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        for ticket in self._admission.settle(loop.time()):
            self._tell(ticket)
        self._admitted_tokens.set(self._admission.tokens)
        if self._timer is not None:
            self._timer.cancel()
        next_deadline = self._admission.next_deadline()
        self._timer = None if next_deadline is None else loop.call_at(next_deadline, self._settle)

    def _tell(self, ticket: Ticket) -> None:
        waiter = self._waiters.get(ticket)
        # One that was cancelled in the same moment leaves by itself.
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Admissions:
    """A queue for each engine, for as long as the engine is there."""

    def __init__(self, plan: AdmissionPlan) -> None:
        # Shown as 0 from the start, so that the first refusal is a step that a rate can see.
        for reason in REASONS:
            REFUSALS.labels(reason)
        self._plan = plan
        self._queues: WeakKeyDictionary[Engine, AdmitRequests] = WeakKeyDictionary()
        self._closed = False

    def of(self, version: LoadedVersion) -> AdmitRequests:
        """The queue in front of a version's engine."""
        queue = self._queues.get(version.engine)
        if queue is None:
            limits = self._plan.limits_of(version.limits)
            queue = AdmitRequests(version.version_id, limits, seconds=self._plan.seconds)
            self._queues[version.engine] = queue
            if self._closed:
                queue.close()
        return queue

    def close(self) -> None:
        """Before a server drains: who waits is to ask another replica, what runs goes on."""
        self._closed = True
        for queue in self._queues.values():
            queue.close()
