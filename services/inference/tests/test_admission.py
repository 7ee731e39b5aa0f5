"""Rules of admission that have figures: shares, places, estimates, and what a refusal says."""

from contextlib import suppress
from itertools import cycle

import pytest
from modelmill_inference.admit_requests import AdmissionPlan
from modelmill_inference.domain.admission import (
    AdmissionLimits,
    AdmissionRequest,
    EngineAdmission,
    Ticket,
    TicketState,
)
from modelmill_inference.domain.generation import ModelLimits
from modelmill_inference.domain.memory import token_bytes
from modelmill_service_kit.errors import DeadlineError, OverloadedError, TooLargeError

LIMITS = AdmissionLimits(tokens=1000, sequences=10, waiting=20)
ANSWER_TOKENS = 80


class Desk:
    """An engine that takes a step a tenth of a second, and callers in front of it."""

    def __init__(self, limits: AdmissionLimits = LIMITS) -> None:
        self.admission = EngineAdmission(limits)
        self.now = 0.0
        self.running: dict[Ticket, int] = {}
        """And how many tokens each was given."""
        self.late: list[Ticket] = []
        self.ended: list[Ticket] = []

    def ask(self, tenant: str = "a", *, seconds: float = 1e6, **asked: int) -> Ticket:
        wanted = {"prompt_tokens": 20, "new_tokens": ANSWER_TOKENS} | asked
        ask = AdmissionRequest(tenant, **wanted)
        try:
            return self.admission.ask(ask, deadline=self.now + seconds, now=self.now)
        finally:
            self.settle()

    def settle(self) -> list[Ticket]:
        settled = self.admission.settle(self.now)
        began = [ticket for ticket in settled if ticket.place is TicketState.RUNNING]
        self.running |= dict.fromkeys(began, 0)
        self.late += [ticket for ticket in settled if ticket.refusal is not None]
        return began

    def step(self, seconds: float = 0.1) -> None:
        """Each that runs is given a token; answers end at their limit."""
        self.now += seconds
        for ticket in list(self.running):
            self.admission.add_tokens(ticket, ticket.ask.answers, now=self.now)
            self.running[ticket] += 1
            if self.running[ticket] == ticket.ask.new_tokens:
                self.end(ticket)

    def end(self, ticket: Ticket, *, ended: bool = True) -> list[Ticket]:
        """Its answer ends; those that begin in its place."""
        del self.running[ticket]
        self.ended.append(ticket)
        self.admission.leave(ticket, now=self.now, ended=ended)
        return self.settle()


def test_one_request_beside_anothers_hundred_begins_when_the_first_of_them_ends() -> None:
    desk = Desk(AdmissionLimits(tokens=1000, sequences=10, waiting=1000))
    many = [desk.ask("a") for _ in range(100)]
    one = desk.ask("b")

    assert one.place is TicketState.WAITING
    assert desk.end(many[7]) == [one]
    assert desk.end(many[0]) == [many[10]]


def test_tenants_share_tokens_not_requests() -> None:
    desk = Desk()
    for _ in range(10):
        desk.ask("small")
    large = [desk.ask("large", prompt_tokens=120) for _ in range(4)]
    small = [desk.ask("small") for _ in range(4)]
    for ticket in list(desk.running)[:10]:
        desk.end(ticket)

    # 200 tokens each for two, 100 each for four.
    assert [one.place is TicketState.RUNNING for one in large] == [True, True, True, False]
    assert all(one.place is TicketState.RUNNING for one in small)


def test_what_is_freed_is_kept_for_a_large_request() -> None:
    desk = Desk()
    small = [desk.ask("a") for _ in range(10)]
    large = desk.ask("b", prompt_tokens=720, new_tokens=80)
    later = [desk.ask(name) for name in "cdefg"]

    for ticket in small[:7]:
        assert desk.end(ticket) == []
    assert desk.end(small[7]) == [large]
    assert desk.end(small[8]) == [later[0]]


def test_a_tenant_has_no_more_places_than_are_left_for_others() -> None:
    desk = Desk()
    for _ in range(10 + 10):
        desk.ask("a")

    with pytest.raises(OverloadedError) as refused:
        desk.ask("a")
    assert refused.value.reason == "QUEUE_FULL"
    for _ in range(5):
        desk.ask("b")
    with pytest.raises(OverloadedError):
        desk.ask("b")
    desk.ask("c")


@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ({"prompt_tokens": 921}, "may come to 1001 tokens.*limit is 1000"),
        ({"answers": 11, "new_tokens": 5}, "11 answers.*limit is 10"),
    ],
)
def test_what_an_idle_engine_has_no_room_for_is_refused_with_the_limit(
    asked: dict[str, int], limit: str
) -> None:
    with pytest.raises(TooLargeError, match=limit):
        Desk().ask(**asked)


def test_a_deadline_that_has_passed_is_refused_although_there_is_room() -> None:
    with pytest.raises(DeadlineError):
        Desk().ask(seconds=0.0)


def full_desk() -> Desk:
    """Ten answers at a time, of eight seconds each, eight more behind them, and a known pace."""
    desk = Desk()
    while len(desk.ended) < 30:
        if desk.admission.waiting < 8:
            desk.ask("a")
        desk.step()
    while desk.admission.waiting < 8:
        desk.ask("a")
    return desk


def test_who_cannot_begin_in_time_is_refused_and_told_when_it_could() -> None:
    desk = full_desk()

    with pytest.raises(OverloadedError) as refused:
        desk.ask("a", seconds=10)

    assert refused.value.reason == "NO_TIME"
    # Nine with itself, ten run at a time, and each for eight seconds.
    assert 5 < refused.value.retry_after_seconds < 12


def test_who_would_begin_but_not_end_in_time_is_refused() -> None:
    desk = full_desk()

    with pytest.raises(OverloadedError) as refused:
        desk.ask("b", seconds=6)
    assert refused.value.reason == "NO_TIME"
    assert refused.value.retry_after_seconds < 3
    desk.ask("b", seconds=20)


def test_short_answers_are_expected_of_those_who_had_short_ones() -> None:
    desk = full_desk()
    for _ in range(20):
        ticket = desk.ask("b", new_tokens=500, prompt_tokens=1)
        while ticket.place is TicketState.WAITING:
            desk.step()
        desk.step()
        desk.end(ticket)
        while desk.admission.waiting < 8:
            desk.ask("a")

    expected_short = desk.ask("b", new_tokens=500, prompt_tokens=1, seconds=10)
    assert expected_short.place is TicketState.WAITING
    # Of a tenant that had no short ones the same request is expected to take its limit.
    with pytest.raises(OverloadedError) as refused:
        desk.ask("c", new_tokens=500, prompt_tokens=1, seconds=10)
    assert refused.value.reason == "NO_TIME"


def test_before_anything_is_known_of_the_pace_nobody_is_refused_for_want_of_time() -> None:
    desk = Desk()
    asked = [desk.ask("a", seconds=0.1) for _ in range(20)]

    assert {ticket.place for ticket in asked} == {TicketState.RUNNING, TicketState.WAITING}


def test_whose_turn_comes_too_late_to_be_answered_does_not_run() -> None:
    desk = Desk()
    for _ in range(10):
        desk.ask("a")
    waiting = [desk.ask("a", seconds=seconds) for seconds in (8.5, 30.0)]
    while desk.admission.waiting:
        desk.step()

    assert desk.late == waiting[:1]
    assert waiting[0].refusal is not None
    assert waiting[0].refusal.reason == "NO_TIME"


@pytest.mark.parametrize("load", [1.0, 5.0])
def test_under_overload_nearly_all_that_the_engine_does_is_in_time(load: float) -> None:
    """Three minutes of what the engine can do, and of five times as much."""
    desk, asked, refused, late, names = Desk(), 0.0, 0, 0, cycle("aab")
    while desk.now < 180:
        asked += load * LIMITS.sequences / ANSWER_TOKENS
        while asked >= 1:
            asked -= 1
            try:
                desk.ask(next(names), seconds=20)
            except OverloadedError:
                refused += 1
        desk.step()
        for ticket in [one for one in desk.running if one.deadline <= desk.now]:
            late += 1
            desk.end(ticket, ended=False)

    done = (len(desk.ended) - late) * ANSWER_TOKENS
    assert done > 0.93 * 180 / 0.1 * LIMITS.sequences
    # Mostly those that came before anything was known of the pace.
    assert len(desk.late) <= LIMITS.waiting
    assert (refused > 0) == (load > 1)


@pytest.mark.parametrize(
    ("a_token", "context", "tokens"),
    # What the cache holds; a whole context in any case; and no more than could be used.
    [(1000, 4096, 1_000_000), (1_000_000, 4096, 4096), (1, 4096, 64 * 4096), (0, 512, 64 * 512)],
)
def test_the_budget_is_what_the_cache_holds(a_token: int, context: int, tokens: int) -> None:
    plan = AdmissionPlan(sequences=64, waiting=8, tokens=0, cache_bytes=10**9, seconds=5.0)
    model = ModelLimits(context_tokens=context, vocabulary=384, token_bytes=a_token)

    assert plan.limits_of(model).tokens == min(tokens, 64 * context)


def test_a_tokens_keys_and_values_are_counted_by_the_models_shape() -> None:
    smollm2 = {"num_hidden_layers": 30, "num_attention_heads": 9, "hidden_size": 576}

    assert token_bytes(smollm2 | {"num_key_value_heads": 3}) == 2 * 30 * 3 * 64 * 2
    assert token_bytes(smollm2) == 2 * 30 * 9 * 64 * 2
    assert token_bytes({"num_hidden_layers": 30}) == 0


def test_deadlines_shorter_than_a_full_engines_answers_are_kept_by_running_fewer() -> None:
    """Each that runs makes a step longer; ten together take eight seconds for an answer."""
    desk, late = Desk(), 0
    while desk.now < 180:
        with suppress(OverloadedError):
            desk.ask("a", seconds=5)
        for _ in range(10):
            desk.step(seconds=0.01 * len(desk.running))
            for ticket in [one for one in desk.running if one.deadline <= desk.now]:
                late += 1
                desk.end(ticket, ended=False)
        desk.now += 0.01

    assert len(desk.ended) - late > 2 * late
