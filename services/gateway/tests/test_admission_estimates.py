"""What is expected of waits comes true: at the edge of fullness, as load rises, as answers slow."""

import heapq
import itertools
from dataclasses import dataclass, field
from random import Random

import pytest
from modelmill_gateway.domain.admission import Admission, QueueTicket
from modelmill_gateway.domain.errors import FullError

PLACES, TOKENS, LASTS, SECONDS = 16, 40, 0.64, 10.0
ANSWERED_A_SECOND = PLACES / LASTS


@dataclass
class Crowd:
    """Callers at random times, answers that last what they last, and a clock that jumps."""

    random: Random
    lasts: float = LASTS
    now: float = 0.0
    answered: int = 0
    late: int = 0
    refused: int = 0
    turned_away: int = 0
    """Let wait, and refused when their turn came."""
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """In which no answer gets any further: when each begins, and for how long."""
    _events: list[tuple[float, int, QueueTicket | None]] = field(default_factory=list)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.admission = Admission(
            PLACES * TOKENS, SECONDS, clock=lambda: self.now, jitter=lambda: 0.5
        )

    def comes(self, a_second: float, seconds: float) -> None:
        """So many of them for so long; who is in hand afterwards stays."""
        until = self.now + seconds
        at = self.now
        while (at := at + self.random.expovariate(a_second)) < until:
            heapq.heappush(self._events, (at, next(self._order), None))
        while self._events and self._events[0][0] < until:
            self.now, _, place = heapq.heappop(self._events)
            if place is None:
                self._ask()
            else:
                self._end(place)

    def _ask(self) -> None:
        try:
            place = self.admission.ask("a", TOKENS, SECONDS, kind="answer")
        except FullError:
            self.refused += 1
            return
        place.tell = lambda: self._turn(place)
        if place.begun_at is not None:
            self._turn(place)

    def _turn(self, place: QueueTicket) -> None:
        if place.begun_at is None:
            self.turned_away += 1
            return
        ends = self._ends(self.lasts * self.random.uniform(0.95, 1.05))
        ends = min(ends, place.ends_at)
        heapq.heappush(self._events, (ends, next(self._order), place))

    def _ends(self, lasts: float) -> float:
        begun = self.now
        for start, seconds in self.pauses:
            if start <= begun < start + seconds:
                begun = start + seconds
            elif begun < start < begun + lasts:
                lasts += seconds
        return begun + lasts

    def _end(self, place: QueueTicket) -> None:
        is_late = self.now >= place.ends_at
        self.late += is_late
        self.answered += not is_late
        self.admission.leave(place, answered=not is_late)


@pytest.mark.parametrize("seed", range(12))
def test_a_load_that_rises_at_once_makes_nobody_late_and_lets_few_wait_in_vain(seed: int):
    crowd = Crowd(Random(seed))
    crowd.comes(ANSWERED_A_SECOND * 0.98, 60)
    assert crowd.late == 0
    crowd.comes(5 * ANSWERED_A_SECOND, 40)

    assert crowd.late == 0
    assert crowd.turned_away <= 0.01 * crowd.answered
    assert crowd.answered >= 0.95 * ANSWERED_A_SECOND * 98


@pytest.mark.parametrize("slower", [2.0, 6.0])
def test_answers_that_slow_down_make_those_late_that_run_and_few_after_them(slower: float):
    crowd = Crowd(Random(1))
    crowd.comes(3 * ANSWERED_A_SECOND, 20)
    crowd.lasts *= slower
    crowd.comes(3 * ANSWERED_A_SECOND, 120)

    # Of those that waited already, no more than had been let wait.
    assert crowd.late + crowd.turned_away <= SECONDS * ANSWERED_A_SECOND
    assert crowd.answered >= 0.8 * (20 + 120 / slower) * ANSWERED_A_SECOND


@pytest.mark.parametrize(("pause", "turns"), [(3.0, 1), (5.0, 1), (8.0, 2)])
@pytest.mark.parametrize("seed", range(6))
def test_a_pause_makes_those_late_that_are_in_hand_and_not_the_queue_behind_them(
    seed: int, pause: float, turns: int
):
    crowd = Crowd(Random(seed), pauses=[(40.0, pause)])
    crowd.comes(5 * ANSWERED_A_SECOND, 80)

    # The queue, of some 180, is turned away. In a long pause those with the most time left are
    # tried in the places of those that are late.
    assert crowd.late <= (turns + 0.5) * PLACES
    assert crowd.answered >= 0.85 * ANSWERED_A_SECOND * (80 - pause)


@pytest.mark.parametrize("seed", range(6))
def test_pauses_that_come_again_and_again_are_reckoned_with(seed: int):
    crowd = Crowd(Random(seed), pauses=[(float(at), 1.0) for at in range(20, 80, 3)])
    crowd.comes(5 * ANSWERED_A_SECOND, 80)

    assert crowd.late <= 0.01 * crowd.answered
    assert crowd.answered >= 0.9 * ANSWERED_A_SECOND * 60


def test_who_could_not_end_in_time_any_more_is_not_begun():
    now = 0.0
    admission = Admission(1, 100.0, clock=lambda: now, jitter=lambda: 0.5)
    for _ in range(3):
        first = admission.ask("a", 1, 60.0)
        now += 2.0
        admission.leave(first, answered=True)
    running = admission.ask("a", 1, 60.0)
    waits = [admission.ask("a", 1, seconds) for seconds in (6.0, 60.0)]
    now += 4.0
    admission.leave(running, answered=True)

    assert [place.begun_at for place in waits] == [None, now]
    admission.leave(waits[0])
    admission.leave(waits[1], answered=True)
    assert (admission.tokens, admission.waiting) == (0, 0)


def test_answers_that_never_end_in_time_teach_how_long_they_last():
    now = 0.0
    admission = Admission(1, 100.0, clock=lambda: now, jitter=lambda: 0.5)
    for _ in range(20):
        place = admission.ask("a", 1, 5.0)
        now += 5.0
        admission.leave(place, answered=False)

    admission.ask("a", 1, 60.0)
    with pytest.raises(FullError):
        admission.ask("a", 1, 5.0)


def test_when_nothing_comes_free_any_more_nobody_else_is_let_wait():
    now = 0.0
    admission = Admission(1, 100.0, clock=lambda: now, jitter=lambda: 0.5)
    for _ in range(3):
        place = admission.ask("a", 1, 10.0)
        now += 1.0
        admission.leave(place, answered=True)
    now += 1000.0
    admission.ask("a", 1, 60.0)
    now += 500.0
    admission.ask("a", 1, 10.0)  # the first to wait: how long it was quiet before says nothing

    now += 8.0
    with pytest.raises(FullError):
        admission.ask("b", 1, 10.0)
