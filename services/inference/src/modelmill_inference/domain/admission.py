"""Who may use an engine next: a budget of tokens and sequences, and a queue in front of it.

A request that fits begins at once. Others wait, in a bounded queue that is fair between tenants:
what is freed is kept for who is next. Something runs all the while, because the idle engine
has room for each request that is let in. Whose answer is not to be expected before its deadline
is refused, at once or when that turns out; whose deadline passes leaves then.

Plain bookkeeping: the clock is an argument, and `settle` says who is to be told.
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
"""Of the time to its deadline, what a request that has to wait may be expected to need in all.

Estimates err: room is freed in bursts, and a queue as long as deadlines allow would make every
other answer late, and other refusals too.
"""
TURN_SHARE = 0.9
"""Of what is left of it when its turn has come, what its answer may be expected to need."""
NEARLY = 0.9
"""Share of the budget in use from which an engine counts as full."""
CUT_SECONDS = 0.1
"""Who leaves so shortly before its deadline was cut off by it: callers' clocks run ahead."""
STRAINED_SECONDS = 1.0
"""It also does for so long after something was refused, or was cut off by its deadline."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much may be asked of an engine at a time."""

    tokens: int
    """In flight: prompts, and what their answers may come to."""
    sequences: int
    """In flight: answers."""
    waiting: int
    """Requests in the queue. A tenant may have no more places than are left for others."""


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """What a request will take."""

    tenant: str
    prompt_tokens: int
    new_tokens: int = 0
    """Of each answer, at most; 0 for what generates nothing."""
    answers: int = 1

    @property
    def tokens(self) -> int:
        """Of the budget."""
        return (self.prompt_tokens + self.new_tokens) * self.answers


class TicketState(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    RUNNING = "running"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place."""

    ask: AdmissionRequest
    deadline: float
    place: TicketState = TicketState.WAITING
    has_waited: bool = False
    refusal: DomainError | None = None
    """Why it is gone, when it did not leave by itself."""
    heard: int = 0
    """Tokens that it was given."""

    @property
    def tenant(self) -> str:
        """Who asked."""
        return self.ask.tenant

    @property
    def tokens(self) -> int:
        """Of the budget."""
        return self.ask.tokens

    @property
    def answers(self) -> int:
        """Of the budget."""
        return self.ask.answers


def check_size(ask: AdmissionRequest, limits: AdmissionLimits) -> None:
    """Refuse what would not even fit into the idle engine; TooLargeError names the limit."""
    if ask.tokens > limits.tokens:
        raise TooLargeError(
            f"the request may come to {ask.tokens} tokens, prompts and answers together, and "
            f"the limit is {limits.tokens}. Ask for fewer or shorter answers, or for "
            "less at a time"
        )
    if ask.answers > limits.sequences:
        raise TooLargeError(
            f"{ask.answers} answers were asked for, and the limit is {limits.sequences}"
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
    """The budget and the queue of one engine. After each change, `settle`."""

    def __init__(self, limits: AdmissionLimits) -> None:
        super().__init__()
        self._limits = limits
        self._pace = Throughput()
        self._running: dict[Ticket, None] = {}
        self._strained_at = -math.inf
        self._closed = False
        self._work_in_flight: float | None = None
        """Kept until something starts or stops: refusals come in crowds."""

    def ask(self, ask: AdmissionRequest, *, deadline: float, now: float) -> Ticket:
        """A place in the queue; it runs at once, by `settle`, when there is room.

        Raises:
            TooLargeError: it would not even fit into the idle engine.
            DeadlineError: its deadline has passed.
            OverloadedError: the queue has no place for it, or it would not be answered in time.
            UnavailableError: closed.
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
        """Raise what even the smallest request of the tenant would hear now; nothing changes."""
        self.leave(
            self.ask(AdmissionRequest(tenant, prompt_tokens=1), deadline=deadline, now=now), now=now
        )

    def leave(self, ticket: Ticket, *, now: float, ended: bool = False) -> None:
        """Give back its place or its budget; once more changes nothing.

        Args:
            ended: it came to its end, so that the length of its answers says something.
        """
        self._advance(now)
        if ticket.place is TicketState.WAITING:
            self._dequeue(ticket)
        elif ticket.place is TicketState.RUNNING:
            ask = ticket.ask
            if ask.new_tokens:
                length = ticket.heard // ask.answers
                self._pace.record_answer(ask.new_tokens, length, ended=ended)
            elif ended:
                self._pace.record_work(prompt_tokens=ask.tokens)
            if not ended and now >= ticket.deadline - CUT_SECONDS:
                self._strained_at = now
            self._stop(ticket)

    def add_tokens(self, ticket: Ticket, tokens: int, *, now: float) -> None:
        """A running request was given tokens; its first ones say that its prompt was computed."""
        self._advance(now)
        if tokens:
            ask = ticket.ask
            prompts = 0 if ticket.heard else ask.prompt_tokens * ask.answers
            self._pace.record_work(prompt_tokens=prompts, new_tokens=tokens)
        ticket.heard += tokens

    def settle(self, now: float) -> list[Ticket]:
        """Requests that no longer wait: they run, or have their refusal."""
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
        """Refuse all that wait and all that will come; what runs goes on."""
        self._closed = True
        waiting = list(self)
        for ticket in waiting:
            self._refuse(ticket, stopping())
        return waiting

    def next_deadline(self) -> float | None:
        """When `settle` has to be called although nothing changed."""
        return min((ticket.deadline for ticket in self), default=None)

    def _fits(self, ask: AdmissionRequest) -> bool:
        return (
            self.tokens + ask.tokens <= self._limits.tokens
            and self.answers + ask.answers <= self._limits.sequences
        )

    def _seconds_to_start(self, ticket: Ticket) -> float | None:
        """Until what has to be freed for it, and for those before it, was freed."""
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
        """Whether it would need more than that share of its time, as far as that is known."""
        rate, work = self._pace.rate, self._work_of(ticket.ask, long=True)
        if rate is None or not self.answers:
            return False
        # Its rate is one of as many as run with it; when it has to wait, others leave for it.
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
