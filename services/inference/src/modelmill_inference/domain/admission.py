"""Admission control of one engine: a budget of tokens and sequences, and a queue.

A request that fits starts at once. Others wait in a bounded queue that is fair between tenants;
freed capacity is reserved for the first one. There is no starvation, because every admitted request
fits the idle engine. A request that is not expected to meet its deadline is refused, at once or as
soon as that is known; a queued request is refused when its deadline passes.

Pure state: the clock is an argument, and `settle` returns the requests to notify.
"""

import math
from dataclasses import dataclass
from enum import Enum

from modelmill_service_kit.errors import (
    DeadlineError,
    DomainError,
    OverloadedError,
    TooLargeError,
    UnavailableError,
)
from modelmill_service_kit.fair_queue import FairQueue

from modelmill_inference.domain.throughput import Throughput

LEAST_RETRY_SECONDS = 1.0
QUEUE_SHARE = 0.6
"""Maximum expected duration of a request that must wait, as a share of the time to its deadline.

The margin is for estimation errors: capacity is freed in bursts, and a queue that uses the whole
deadline would make half of the answers late.
"""
TURN_SHARE = 0.9
"""As `QUEUE_SHARE`, for the remaining time when the request is admitted."""
NEARLY = 0.9
"""Utilisation from which an engine counts as full."""
CUT_SECONDS = 0.1
"""A request that leaves this shortly before its deadline has timed out: clocks differ."""
STRAINED_SECONDS = 1.0
"""An engine also counts as full for this long after a refusal or a timeout."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Capacity of an engine."""

    tokens: int
    """Tokens in flight: prompts, and maximum answers."""
    sequences: int
    """Answers in flight."""
    waiting: int
    """Queue length. A tenant may use at most as many places as remain for others."""
    widest: int = 0
    """Answers of one request, also beyond `sequences`: it then has the engine for itself."""

    @property
    def answers(self) -> int:
        """Maximum answers of one request."""
        return max(self.sequences, self.widest)


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """Resources that a request needs."""

    tenant: str
    prompt_tokens: int
    new_tokens: int = 0
    """Maximum per answer; 0 for scores and embeddings."""
    answers: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of the budget."""
        return (self.prompt_tokens + self.new_tokens) * self.answers


class TicketState(Enum):
    """State of a request."""

    WAITING = "waiting"
    RUNNING = "running"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Ticket:
    """A request in the queue or in flight."""

    ask: AdmissionRequest
    deadline: float
    place: TicketState = TicketState.WAITING
    has_waited: bool = False
    refusal: DomainError | None = None
    """Reason of a refusal."""
    generated: int = 0
    """Tokens generated for it."""

    @property
    def tenant(self) -> str:
        """Tenant of the request."""
        return self.ask.tenant

    @property
    def tokens(self) -> int:
        """Tokens of the budget."""
        return self.ask.tokens

    @property
    def answers(self) -> int:
        """Tokens of the budget."""
        return self.ask.answers


def check_size(ask: AdmissionRequest, limits: AdmissionLimits) -> None:
    """Raises TooLargeError, with the limit, for a request that exceeds the idle engine."""
    if ask.tokens > limits.tokens:
        raise TooLargeError(
            f"the request may come to {ask.tokens} tokens, prompts and answers together, and "
            f"the limit is {limits.tokens}. Ask for fewer or shorter answers, or for "
            "less at a time"
        )
    if ask.answers > limits.answers:
        raise TooLargeError(
            f"{ask.answers} answers were asked for, and the limit is {limits.answers}"
        )


def late() -> DeadlineError:
    return DeadlineError("the deadline passed before the request could begin")


def stopping() -> UnavailableError:
    return UnavailableError("this replica is stopping. Retry")


def queue_full(waiting: int, seconds: float | None) -> OverloadedError:
    message = f"{waiting} requests wait for this model, and no more may. Retry"
    return _overloaded(message, seconds).because("QUEUE_FULL")


def no_time(seconds: float | None) -> OverloadedError:
    message = "the model is busy and would not answer before the deadline. Allow more time or retry"
    return _overloaded(message, seconds).because("NO_TIME")


def _overloaded(message: str, seconds: float | None) -> OverloadedError:
    return OverloadedError(
        message, retry_after_seconds=max(LEAST_RETRY_SECONDS, round(seconds or 0.0, 1))
    )


class EngineAdmission(FairQueue[Ticket]):
    """Budget and queue of one engine. Call `settle` after each change."""

    def __init__(self, limits: AdmissionLimits) -> None:
        super().__init__()
        self._limits = limits
        self._pace = Throughput()
        self._running: dict[Ticket, None] = {}
        self._strained_at = -math.inf
        self._closed = False
        self._work_in_flight: float | None = None
        """Cached until a request starts or stops, because refusals come in bursts."""

    def ask(self, ask: AdmissionRequest, *, deadline: float, now: float) -> Ticket:
        """Enqueue a request; `settle` starts it at once if there is capacity.

        Raises:
            TooLargeError: it exceeds the idle engine.
            DeadlineError: its deadline has passed.
            OverloadedError: the queue is full, or the deadline cannot be met.
            UnavailableError: the queue is closed.
        """
        self._advance(now)
        if self._closed:
            raise stopping()
        check_size(ask, self._limits)
        if deadline <= now:
            raise late()
        has_place = self.waiting_of(ask.tenant) < self._limits.waiting - self.waiting
        ticket = Ticket(ask, deadline)
        seconds = self._seconds_to_start(ticket)
        self.enter(ticket)
        starts = self.first() is ticket and self._fits(ask)
        ticket.has_waited = not starts
        refusal = None
        if starts:
            if self._ends_late(ticket, now, 0.0, share=TURN_SHARE):
                refusal = no_time(seconds)
        elif not has_place:
            refusal = queue_full(self.waiting - 1, seconds)
        elif self._ends_late(ticket, now, seconds or 0.0, share=QUEUE_SHARE):
            refusal = no_time(seconds)
        if refusal is None:
            return ticket
        self._dequeue(ticket)
        self._strained_at = now
        raise refusal

    def refuse_early(self, tenant: str, *, deadline: float, now: float) -> None:
        """Raise the error that the tenant's smallest request would get; no side effects."""
        self.leave(
            self.ask(AdmissionRequest(tenant, prompt_tokens=1), deadline=deadline, now=now), now=now
        )

    def leave(self, ticket: Ticket, *, now: float, ended: bool = False) -> None:
        """Free its queue place or capacity. Idempotent.

        Args:
            ended: whether all answers ended, so that their length is used for estimates.
        """
        self._advance(now)
        if ticket.place is TicketState.WAITING:
            self._dequeue(ticket)
        elif ticket.place is TicketState.RUNNING:
            ask = ticket.ask
            if ask.new_tokens:
                length = ticket.generated // ask.answers
                self._pace.record_answer(ask.new_tokens, length, ended=ended)
            elif ended:
                self._pace.record_work(prompt_tokens=ask.tokens)
            if not ended and now >= ticket.deadline - CUT_SECONDS:
                self._strained_at = now
            self._stop(ticket)

    def add_tokens(self, ticket: Ticket, tokens: int, *, now: float) -> None:
        """Record generated tokens of a running request; the first ones imply the prefill."""
        self._advance(now)
        if tokens:
            ask = ticket.ask
            prompts = 0 if ticket.generated else ask.prompt_tokens * ask.answers
            self._pace.record_work(prompt_tokens=prompts, new_tokens=tokens)
        ticket.generated += tokens

    def settle(self, now: float) -> list[Ticket]:
        """Start and refuse queued requests; returns those that no longer wait."""
        self._advance(now)
        settled = [ticket for ticket in self if ticket.deadline <= now]
        for ticket in settled:
            self._refuse(ticket, late())
        while (first := self.first()) is not None and self._fits(first.ask):
            if first.has_waited and self._ends_late(first, now, 0.0, share=TURN_SHARE):
                self._strained_at = now
                self._refuse(first, no_time(None))
            else:
                self._start(first)
            settled.append(first)
        return settled

    def close(self) -> list[Ticket]:
        """Refuse queued and new requests; running ones continue."""
        self._closed = True
        waiting = list(self)
        for ticket in waiting:
            self._refuse(ticket, stopping())
        return waiting

    def next_deadline(self) -> float | None:
        """Next time at which `settle` must be called."""
        return min((ticket.deadline for ticket in self), default=None)

    def _fits(self, ask: AdmissionRequest) -> bool:
        if not self.answers:
            return True  # `check_size` has let in only what the idle engine takes
        return (
            self.tokens + ask.tokens <= self._limits.tokens
            and self.answers + ask.answers <= self._limits.sequences
        )

    def _seconds_to_start(self, ticket: Ticket) -> float | None:
        """Expected time until enough capacity is free for it and those before it."""
        rate = self._pace.rate
        if rate is None or not self._running:
            return None
        tokens, answers = self.taken_with(ticket)
        missing_tokens = tokens + self.tokens - self._limits.tokens
        missing_answers = answers + self.answers - self._limits.sequences
        works = max(missing_tokens / self.tokens, missing_answers / self.answers, 0.0)
        if self._work_in_flight is None:
            self._work_in_flight = sum(self._work_of(running.ask) for running in self._running)
        return works * self._work_in_flight / rate

    def _ends_late(
        self, ticket: Ticket, now: float, seconds_to_start: float, *, share: float
    ) -> bool:
        """Whether it is expected to need more than a share of its time."""
        rate, work = self._pace.rate, self._work_of(ticket.ask, long=True)
        if rate is None or not self.answers:
            return False
        # It shares the rate with running requests; a queued request replaces others.
        others_in_split = self.answers + (0 if ticket.has_waited else ticket.ask.answers)
        lasts = work / ticket.ask.answers * others_in_split / rate
        return seconds_to_start + lasts > share * (ticket.deadline - now)

    def _work_of(self, ask: AdmissionRequest, *, long: bool = False) -> float:
        return ask.answers * self._pace.expected_work(
            prompt_tokens=ask.prompt_tokens, allowed=ask.new_tokens, long=long
        )

    def _dequeue(self, ticket: Ticket) -> None:
        self.withdraw(ticket)
        ticket.place = TicketState.GONE

    def _refuse(self, ticket: Ticket, refusal: DomainError) -> None:
        self._dequeue(ticket)
        ticket.refusal = refusal

    def _start(self, ticket: Ticket) -> None:
        self.begin(ticket)
        self._running[ticket] = None
        self._work_in_flight = None
        ticket.place = TicketState.RUNNING

    def _stop(self, ticket: Ticket) -> None:
        self.end(ticket)
        del self._running[ticket]
        self._work_in_flight = None
        ticket.place = TicketState.GONE

    def _advance(self, now: float) -> None:
        full = (
            self.waiting > 0
            or self.answers >= NEARLY * self._limits.sequences
            or self.tokens >= NEARLY * self._limits.tokens
            or now < self._strained_at + STRAINED_SECONDS
        )
        self._pace.advance(now, full=full)
