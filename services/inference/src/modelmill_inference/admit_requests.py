"""Use case: admission queue of an engine."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from modelmill_service_kit.errors import DomainError

from modelmill_inference.domain.admission import (
    AdmissionLimits,
    AdmissionRequest,
    EngineAdmission,
    Ticket,
    TicketState,
)
from modelmill_inference.domain.generation import ModelLimits
from modelmill_inference.engine import Engine
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.metrics import ADMITTED_TOKENS, QUEUED, REFUSALS, WAIT_SECONDS
from modelmill_inference.resumed_answer import end_before

SEQUENCES_WITHOUT_BATCHES = 4
"""Sequences at once in an engine that computes each for itself: more make all of them late, where
some would be in time."""
REASONS = ("queue_full", "no_time", "too_large", "deadline_exceeded", "unavailable")
"""Reasons for which a request is refused."""


@dataclass(frozen=True, slots=True)
class AdmissionPlan:
    """Admission settings, for every version."""

    sequences: int
    """Sequences in one batch."""
    waiting: int
    """Queued requests per engine."""
    tokens: int
    """Tokens in flight per engine; 0 for the capacity of its cache."""
    cache_bytes: int
    """Key-value cache of each engine."""
    seconds: float
    """Default deadline."""

    def limits_of(self, model: ModelLimits, *, batches: bool = True) -> AdmissionLimits:
        """Limits of one engine; by default, any request that fits the context is admissible.

        Args:
            batches: see `Abilities`.
        """
        most = self.sequences * model.context_tokens
        cached = self.cache_bytes // model.token_bytes if model.token_bytes else most
        tokens = self.tokens or min(most, max(cached, model.context_tokens))
        at_once = self.sequences if batches else min(self.sequences, SEQUENCES_WITHOUT_BATCHES)
        return AdmissionLimits(tokens, at_once, self.waiting, widest=self.sequences)


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """Use of one engine: what runs, what waits, and the limits of both."""

    limits: AdmissionLimits
    sequences: int
    tokens: int
    waiting: int


class RunningRequest:
    """An admitted request; reports its tokens to the queue."""

    def __init__(self, admission: EngineAdmission, ticket: Ticket) -> None:
        self.ended = False
        """Set by the caller once all answers have ended."""
        self._admission = admission
        self._ticket = ticket
        self._clock = asyncio.get_running_loop().time

    def ends_at(self) -> float:
        """When to end an answer without a token limit, on the event loop's clock."""
        return end_before(self._clock(), self._ticket.deadline)

    def add_tokens(self, tokens: int) -> None:
        """Report generated tokens."""
        self._admission.add_tokens(self._ticket, tokens, now=self._clock())


class EngineQueue:
    """Admission queue of one engine."""

    def __init__(self, version_id: str, limits: AdmissionLimits, *, seconds: float) -> None:
        self._admission = EngineAdmission(limits)
        self._limits = limits
        self._seconds = seconds
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._queued = QUEUED.labels(version_id)
        self._admitted_tokens = ADMITTED_TOKENS.labels(version_id)

    @property
    def load(self) -> QueueLoad:
        """What runs and what waits now."""
        it = self._admission
        return QueueLoad(self._limits, it.answers, it.tokens, it.waiting)

    def refuse_early(self, tenant: str, deadline: float | None) -> None:
        """Refuse before tokenizing a request that would be refused in any case; see `turn`.

        Requests beyond a full queue must not cost CPU time of those in it.
        """
        with self._counted():
            self._settle()
            now = asyncio.get_running_loop().time()
            self._admission.refuse_early(tenant, deadline=self._deadline(deadline, now), now=now)

    @asynccontextmanager
    async def turn(
        self, ask: AdmissionRequest, deadline: float | None
    ) -> AsyncIterator[RunningRequest]:
        """Wait for admission; leaving the block in any way frees the request's capacity.

        Args:
            deadline: on the event loop's clock; None for the default.

        Raises:
            TooLargeError: it exceeds the capacity of the idle engine.
            OverloadedError: the queue is full, or the deadline cannot be met; nothing was started.
            DeadlineError: the deadline passed in the queue.
            UnavailableError: this replica is stopping.
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
            turn = RunningRequest(self._admission, ticket)
            yield turn
        finally:
            self._admission.leave(ticket, now=clock(), ended=turn is not None and turn.ended)
            self._settle()

    def close(self) -> None:
        """Refuse queued and new requests; running ones finish."""
        for ticket in self._admission.close():
            self._wake(ticket)

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
        if ticket.place is TicketState.WAITING:
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
            self._wake(ticket)
        self._admitted_tokens.set(self._admission.tokens)
        if self._timer is not None:
            self._timer.cancel()
        next_deadline = self._admission.next_deadline()
        self._timer = None if next_deadline is None else loop.call_at(next_deadline, self._settle)

    def _wake(self, ticket: Ticket) -> None:
        waiter = self._waiters.get(ticket)
        # A waiter that was cancelled at the same moment leaves by itself.
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class EngineQueues:
    """One queue per engine, for the lifetime of the engine."""

    def __init__(self, plan: AdmissionPlan) -> None:
        # Exported as 0 from the start, so that `rate()` sees the first refusal.
        for reason in REASONS:
            REFUSALS.labels(reason)
        self._plan = plan
        self._queues: WeakKeyDictionary[Engine, EngineQueue] = WeakKeyDictionary()
        self._closed = False

    def of(self, version: LoadedVersion) -> EngineQueue:
        """The queue of a version's engine."""
        queue = self._queues.get(version.engine)
        if queue is None:
            batches = version.engine.abilities.batches
            limits = self._plan.limits_of(version.limits, batches=batches)
            queue = EngineQueue(version.version_id, limits, seconds=self._plan.seconds)
            self._queues[version.engine] = queue
            if self._closed:
                queue.close()
        return queue

    def close(self) -> None:
        """Called before the server drains: queued requests must retry at another replica."""
        self._closed = True
        for queue in self._queues.values():
            queue.close()
