"""Places in a job's history: whoever reads, where and how often, gets each event once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_job_index.history import (
    PROGRESS,
    PROGRESS_EVENTS,
    STATE,
    Cursor,
    JobEvent,
    JobHistory,
)
from modelmill_service_kit.errors import InvalidInputError

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def event(type_: str, sequence: int, at: int = 0) -> JobEvent:
    moment = NOON + timedelta(seconds=at)
    return JobEvent(sequence, moment, type_, f"{type_} {sequence}", JobState())


def in_order_of_streams(events: list[JobEvent]) -> tuple[list[JobEvent], list[JobEvent]]:
    def stream(type_: str) -> list[JobEvent]:
        return [each for each in events if each.type == type_]

    return stream(STATE), stream(PROGRESS)


class Replica:
    """A process that hears both streams in its own interleaving."""

    def __init__(self, heard: list[JobEvent]) -> None:
        self._coming = list(heard)
        self.history = JobHistory()
        self.last_progress = 0

    def hear(self, count: int) -> None:
        for each in self._coming[:count]:
            self.history.add(each)
            if each.type == PROGRESS:
                self.last_progress = each.sequence
        del self._coming[:count]

    def place_of(self, event_id: str) -> Cursor:
        """As a watcher does: hear more until the event is known."""
        while True:
            try:
                return self.history.place_of(event_id, last_progress=self.last_progress)
            except InvalidInputError:
                assert self._coming, f"{event_id} is known to nobody"
                self.hear(1)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[JobEvent], list[list[JobEvent]]]:
    """Events with clocks that disagree, and what each of three replicas hears, in which order."""
    clock = st.integers(min_value=0, max_value=5)
    states = [event(STATE, 3 * n + 1, draw(clock)) for n in range(draw(st.integers(0, 8)))]
    figures = [event(PROGRESS, 2 * n + 1, draw(clock)) for n in range(draw(st.integers(0, 12)))]
    heard = []
    for _ in range(3):
        from_states = draw(st.lists(st.booleans(), min_size=20, max_size=20))
        left, order = (list(states), list(figures)), []
        for from_state in [*from_states, *([True] * 20), *([False] * 20)]:
            stream = left[0 if from_state else 1]
            if stream:
                order.append(stream.pop(0))
        heard.append(order)
    return [*states, *figures], heard


@given(worlds(), st.data())
def test_a_reader_that_is_cut_off_and_goes_on_anywhere_misses_nothing_and_reads_nothing_twice(
    world: tuple[list[JobEvent], list[list[JobEvent]]], data: st.DataObject
) -> None:
    events, heard = world
    replicas = [Replica(order) for order in heard]
    read: list[JobEvent] = []
    after: str | None = None
    for _ in range(data.draw(st.integers(0, 6), label="times cut off")):
        replica = data.draw(st.sampled_from(replicas), label="replica")
        place = replica.place_of(after) if after else Cursor()
        for _ in range(data.draw(st.integers(0, 6), label="events before the cut")):
            replica.hear(data.draw(st.integers(0, 3), label="heard meanwhile"))
            next_one = replica.history.next_after(place)
            if next_one is not None:
                place = place.past(next_one)
                after = place.numbered(next_one).id
                read.append(next_one)
    last = replicas[0]
    place = last.place_of(after) if after else Cursor()
    last.hear(len(events))
    while (next_one := last.history.next_after(place)) is not None:
        place = place.past(next_one)
        read.append(next_one)

    assert in_order_of_streams(read) == in_order_of_streams(events)


@given(worlds())
def test_the_id_of_a_listed_event_is_a_place_in_that_list(
    world: tuple[list[JobEvent], list[list[JobEvent]]],
) -> None:
    events, heard = world
    replica = Replica(heard[0])
    replica.hear(len(events))
    listed = list(replica.history.events())
    assert in_order_of_streams(listed) == in_order_of_streams(events)
    for index, each in enumerate(listed):
        place = replica.place_of(each.id)
        rest = []
        while (next_one := replica.history.next_after(place)) is not None:
            place = place.past(next_one)
            rest.append(next_one)
        assert rest == listed[index + 1 :]


def test_figures_make_way_and_a_reader_of_the_lost_ones_goes_on_with_the_oldest_kept() -> None:
    history = JobHistory()
    history.add(event(STATE, 1))
    for number in range(1, PROGRESS_EVENTS + 11):
        history.add(event(PROGRESS, number, number))

    for lost in ("progress-3", "progress-3.1"):
        place = history.place_of(lost, last_progress=PROGRESS_EVENTS + 10)
        following = history.next_after(place)
        assert following is not None
        assert (following.type, following.sequence) == (PROGRESS, 11)
    assert len(history.events()) == PROGRESS_EVENTS + 1


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "nonsense", "state-", "state-2", "state-99", "progress-0", "progress-8", "state-1.x"),
        *("progress--1", "state-1.2.3", "state-1 ", "state-1\n", "STATE-1", "state-" + "9" * 30),
    ],
)
def test_what_names_no_event_of_the_job_is_refused(wrong: str) -> None:
    history = JobHistory()
    history.add(event(STATE, 1))
    history.add(event(PROGRESS, 4))
    with pytest.raises(InvalidInputError, match="after: no event"):
        history.place_of(wrong, last_progress=7)
