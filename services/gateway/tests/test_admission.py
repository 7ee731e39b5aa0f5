"""Who is let in, who waits, who is next and who is refused, by the bookkeeping alone."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_gateway.answers.admission_queue import AdmissionQueue
from modelmill_gateway.domain.admission import Admission, QueueTicket
from modelmill_gateway.domain.errors import FullError
from modelmill_gateway.domain.request_context import Deadline
from modelmill_testkit.waiting import eventually

LIMIT = 100


class House:
    """An admission, its clock, and what was asked of it."""

    def __init__(self, tokens: int = LIMIT, wait_seconds: float = 10.0) -> None:
        self.now = 0.0
        self.admission = Admission(tokens, wait_seconds, clock=lambda: self.now, jitter=lambda: 0.5)
        self.told: list[QueueTicket] = []

    def ask(self, tenant: str, tokens: int, seconds: float = 60.0) -> QueueTicket:
        place = self.admission.ask(tenant, tokens, seconds)
        place.tell = lambda: self.told.append(place)
        return place


def test_what_fits_begins_at_once_and_what_does_not_waits():
    house = House()
    first, second = house.ask("a", 60), house.ask("a", 60)

    assert (first.begun_at, second.begun_at) == (0.0, None)
    assert (house.admission.tokens, house.admission.waiting) == (60, 1)
    house.now = 1.0
    house.admission.leave(first, answered=True)
    assert house.told == [second]
    assert (second.begun_at, house.admission.tokens) == (1.0, 60)


def test_a_small_request_does_not_overtake_a_large_one():
    house = House()
    first, large, small = house.ask("a", 90), house.ask("b", 50), house.ask("c", 5)
    assert (large.begun_at, small.begun_at) == (None, None)

    house.admission.leave(first)
    assert house.told == [large, small]


def test_a_tenant_that_asks_much_delays_another_by_one_request():
    house = House(wait_seconds=1000)
    places = [house.ask("greedy", 50) for _ in range(4)]
    modest = house.ask("modest", 50)

    house.admission.leave(places[0])
    assert house.told == [modest]


def test_a_request_larger_than_the_budget_is_answered_alone():
    house = House()
    huge = house.ask("a", 10 * LIMIT)
    assert huge.begun_at is not None
    assert house.ask("b", 1).begun_at is None


def full(house: House, seconds: float = 20.0) -> None:
    """Let it be full for a while, in which a budget's worth is freed in a second."""
    first = house.ask("a", LIMIT)
    for _ in range(round(seconds)):
        following = house.ask("a", LIMIT)
        house.now += 1.0
        house.admission.leave(first, answered=True)
        first = following


@pytest.mark.parametrize(
    ("ahead", "seconds", "is_refused"),
    [(1, 60.0, False), (1, 1.5, True), (4, 60.0, False), (4, 4.0, True), (12, 60.0, True)],
)
def test_who_would_not_be_answered_in_time_is_refused_at_once(
    ahead: int, seconds: float, is_refused: bool
):
    house = House()
    full(house)
    with suppress(FullError):
        for _ in range(ahead - 1):
            house.ask("a", LIMIT)

    if not is_refused:
        house.ask("a", LIMIT, seconds)
        return
    waiting = house.admission.waiting
    with pytest.raises(FullError) as refused:
        house.ask("a", LIMIT, seconds)
    # When there should be room, and spread over as long again.
    assert refused.value.retry_after_seconds == pytest.approx(1.5 * min(ahead, 11), rel=0.3)
    assert house.admission.waiting == waiting


def test_before_anything_is_known_a_budgets_worth_may_wait():
    house = House()
    house.ask("a", LIMIT)
    house.ask("a", LIMIT)
    with pytest.raises(FullError):
        house.ask("a", LIMIT)


async def test_who_is_cancelled_as_its_turn_comes_is_not_answered_and_leaves_its_place():
    admission = Admission(1, 10.0, clock=time.monotonic, jitter=lambda: 0.5)
    running = admission.ask("a", 1, 60.0)
    began: list[str] = []

    async def ask() -> None:
        async with AdmissionQueue(admission).held("answer", "a", 1, Deadline(60.0)):
            began.append("answer")

    asking = asyncio.create_task(ask())
    await eventually(lambda: admission.waiting == 1)
    admission.leave(running)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert began == []
    assert (admission.tokens, admission.waiting) == (0, 0)


steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 150), st.floats(0.0, 3.0), st.booleans()),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_the_budget_is_kept_and_nothing_is_left_of_who_left(
    steps: list[tuple[str, int, float, bool]],
):
    house = House()
    places: list[QueueTicket] = []
    for tenant, tokens, pause, leaves in steps:
        house.now += pause
        if leaves and places:
            house.admission.leave(places.pop(tokens % len(places)), answered=True)
        else:
            try:
                places.append(house.ask(tenant, tokens))
            except FullError:
                continue
        begun = [place for place in places if place.begun_at is not None]
        assert house.admission.tokens == sum(place.tokens for place in begun) <= LIMIT
        assert house.admission.waiting == len(places) - len(begun)
        # Something runs as long as anybody waits.
        assert begun or not places
    for place in places:
        house.admission.leave(place)
    assert (house.admission.tokens, house.admission.waiting) == (0, 0)
    assert house.admission.shares == {}


@pytest.mark.tier("test")
@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9))
def test_tenants_that_always_wait_get_equal_shares_whatever_their_requests_sizes(
    first: int, second: int
):
    house = House(wait_seconds=1e9)
    sizes = {"a": first, "b": second}

    def keep_waiting() -> None:
        for tenant, tokens in sizes.items():
            known = house.admission.shares.get(tenant)
            while known is None or len(known.waiting) < 3:
                place = house.ask(tenant, tokens, seconds=1e9)
                known = house.admission.shares[tenant]
                if place.begun_at is not None:
                    house.told.append(place)

    given: Counter[str] = Counter()
    for _ in range(40 * LIMIT):
        keep_waiting()
        house.now += 0.1
        done = house.told.pop(0)
        given[done.tenant] += done.tokens
        house.admission.leave(done, answered=True)

    assert given["a"] == pytest.approx(given["b"], rel=0.3)


def test_what_one_kind_of_request_lasts_says_nothing_of_another():
    house = House(wait_seconds=1000)
    for _ in range(3):
        chat = house.admission.ask("a", LIMIT, 60.0, kind="answer")
        house.now += 30.0
        house.admission.leave(chat, answered=True)
    running = house.ask("a", LIMIT)
    waiting = house.admission.ask("b", LIMIT, 60.0, kind="embed")
    house.now += 4.0
    house.admission.leave(running)
    house.admission.leave(waiting, answered=True)

    # Full for 4 s in which 100 came free: the next waits 4 s, and has 10.
    house.ask("a", LIMIT)
    house.ask("b", 1)
    house.admission.ask("c", 1, 10.0, kind="embed")
    with pytest.raises(FullError):
        house.admission.ask("c", 1, 10.0, kind="answer")
