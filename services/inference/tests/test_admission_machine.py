"""Whatever is asked, ends, leaves and passes: the rules of admission hold after each step."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from modelmill_inference.domain.admission import (
    AdmissionLimits,
    AdmissionRequest,
    EngineAdmission,
    Ticket,
    TicketState,
)
from modelmill_service_kit.errors import (
    DeadlineError,
    DomainError,
    OverloadedError,
    TooLargeError,
    UnavailableError,
)

LIMITS = AdmissionLimits(tokens=100, sequences=8, waiting=4)
TENANTS = ("a", "b", "c")

asks = st.builds(
    AdmissionRequest,
    tenant=st.sampled_from(TENANTS),
    prompt_tokens=st.integers(1, 40),
    new_tokens=st.integers(0, 70),
    answers=st.sampled_from((1, 1, 1, 2, 5, 9)),
)


class AdmissionMachine(RuleBasedStateMachine):
    """Callers and an engine in front of a queue."""

    limits = LIMITS

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.admission = EngineAdmission(self.limits)
        self.closed = False
        self.tickets: list[Ticket] = []
        self.began: list[Ticket] = []
        """In the order in which they were let in."""
        self.passed: dict[Ticket, Counter[str]] = {}
        """Of each that is first in a line without a running one: who was let in before it."""

    def of(self, place: TicketState) -> list[Ticket]:
        return [ticket for ticket in self.tickets if ticket.place is place]

    @rule(ask=asks, seconds=st.integers(-1, 30))
    def come(self, ask: AdmissionRequest, seconds: int) -> None:
        before = Counter(one.ask.tenant for one in self.of(TicketState.WAITING))
        try:
            ticket = self.admission.ask(ask, deadline=self.now + seconds, now=self.now)
        except DomainError as refusal:
            self._check(refusal, ask, seconds, before)
        else:
            self.tickets.append(ticket)
        self.settle()

    def _check(
        self, refusal: DomainError, ask: AdmissionRequest, seconds: int, waiting: Mapping[str, int]
    ) -> None:
        too_large = ask.tokens > self.limits.tokens or ask.answers > LIMITS.sequences
        assert isinstance(refusal, UnavailableError) == self.closed
        if not self.closed:
            assert isinstance(refusal, TooLargeError) == too_large
            assert isinstance(refusal, OverloadedError) == (not too_large and seconds > 0)
        if isinstance(refusal, OverloadedError):
            assert self.of(TicketState.RUNNING)
            assert refusal.retry_after_seconds >= 1
            places = self.limits.waiting - sum(waiting.values())
            is_full = waiting.get(ask.tenant, 0) >= places
            assert refusal.reason == "NO_TIME" or is_full

    @rule(tenant=st.sampled_from(TENANTS), seconds=st.integers(-1, 30))
    def refuse_early(self, tenant: str, seconds: int) -> None:
        before = Counter(one.ask.tenant for one in self.of(TicketState.WAITING))
        try:
            self.admission.refuse_early(tenant, deadline=self.now + seconds, now=self.now)
        except DomainError as refusal:
            self._check(refusal, AdmissionRequest(tenant, prompt_tokens=1), seconds, before)
        assert self.settle() == []

    @precondition(lambda self: self.of(TicketState.RUNNING))
    @rule(data=st.data(), tenths=st.integers(0, 10))
    def work(self, data: Any, tenths: int) -> None:
        ticket = data.draw(st.sampled_from(self.of(TicketState.RUNNING)))
        self.admission.add_tokens(ticket, tenths * ticket.ask.new_tokens // 10, now=self.now)

    @precondition(lambda self: self.of(TicketState.RUNNING) or self.of(TicketState.WAITING))
    @rule(data=st.data(), ended=st.booleans(), again=st.booleans())
    def leave(self, data: Any, ended: bool, again: bool) -> None:
        ticket = data.draw(
            st.sampled_from(self.of(TicketState.RUNNING) + self.of(TicketState.WAITING))
        )
        for _ in range(1 + again):
            self.admission.leave(ticket, now=self.now, ended=ended)
        self.settle()

    @precondition(lambda self: self.of(TicketState.WAITING))
    @rule(data=st.data())
    def leave_in_the_moment_of_being_let_in(self, data: Any) -> None:
        """The engine ends one, and the next one's caller has just left."""
        for ticket in self.of(TicketState.RUNNING)[:1]:
            self.admission.leave(ticket, now=self.now, ended=True)
        settled = self.settle()
        if settled:
            self.admission.leave(data.draw(st.sampled_from(settled)), now=self.now)
            self.settle()

    @rule(eighths=st.integers(0, 40))
    def time_passes(self, eighths: int) -> None:
        self.now += eighths / 8  # sums of these are exact
        self.settle()

    @rule(few=st.integers(0, 20))
    def stop(self, few: int) -> None:
        if few == 0:
            self.closed = True
            for ticket in self.admission.close():
                assert isinstance(ticket.refusal, UnavailableError)

    def settle(self) -> list[Ticket]:
        waiting = self.of(TicketState.WAITING)
        settled = self.admission.settle(self.now)
        for ticket in settled:
            if ticket.place is TicketState.RUNNING:
                self._let_in(ticket)
                assert self.now < ticket.deadline
            elif isinstance(ticket.refusal, DeadlineError):
                assert ticket.deadline <= self.now
            else:
                assert ticket.refusal is not None
                assert ticket.refusal.reason == "NO_TIME"
        assert set(settled) == {one for one in waiting if one.place is not TicketState.WAITING}
        return settled

    def _let_in(self, ticket: Ticket) -> None:
        self.began.append(ticket)
        for patient in self.passed.values():
            patient[ticket.ask.tenant] += 1

    @invariant()
    def what_runs_is_within_the_budget_and_the_count_is_right(self) -> None:
        running, waiting = self.of(TicketState.RUNNING), self.of(TicketState.WAITING)
        assert self.admission.tokens == sum(one.ask.tokens for one in running) <= self.limits.tokens
        assert self.admission.answers == sum(one.ask.answers for one in running)
        assert self.admission.answers <= self.limits.sequences or len(running) == 1
        assert self.admission.waiting == len(waiting) <= self.limits.waiting

    @invariant()
    def nobody_waits_for_an_idle_engine_or_past_a_deadline(self) -> None:
        waiting = self.of(TicketState.WAITING)
        assert not waiting or self.of(TicketState.RUNNING)
        deadlines = [one.deadline for one in waiting]
        assert self.admission.next_deadline() == min(deadlines, default=None)
        assert all(self.now < deadline for deadline in deadlines)

    @invariant()
    def within_a_tenant_who_came_first_is_first(self) -> None:
        for tenant in TENANTS:
            came = [one for one in self.tickets if one.ask.tenant == tenant]
            began = [one for one in self.began if one.ask.tenant == tenant]
            assert began == [one for one in came if one in set(began)]

    @invariant()
    def a_tenant_with_nothing_running_is_passed_once_by_each_other(self) -> None:
        running = {one.ask.tenant for one in self.of(TicketState.RUNNING)}
        first = {one.ask.tenant: one for one in reversed(self.of(TicketState.WAITING))}
        patient = {one for tenant, one in first.items() if tenant not in running}
        self.passed = {one: self.passed.get(one, Counter()) for one in patient}
        assert all(most <= 1 for passed in self.passed.values() for most in passed.values())

    def teardown(self) -> None:
        """After all have left, all is free again."""
        for ticket in self.tickets:
            self.admission.leave(ticket, now=self.now)
        assert self.admission.settle(self.now) == []
        counts = (self.admission.tokens, self.admission.answers, self.admission.waiting)
        assert counts == (0, 0, 0)
        assert self.admission.shares == {}


class WideRequests(AdmissionMachine):
    """An engine that runs few at once, and as many answers of one request as others."""

    limits = replace(LIMITS, sequences=3, widest=LIMITS.sequences)


TestAdmission = AdmissionMachine.TestCase
TestAdmission.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestWideRequests = WideRequests.TestCase
TestWideRequests.settings = TestAdmission.settings
