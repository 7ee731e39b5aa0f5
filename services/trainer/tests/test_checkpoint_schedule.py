"""How often a run saves its state."""

import math

from hypothesis import given
from hypothesis import strategies as st
from modelmill_trainer.training.checkpoint_schedule import FIRST_SECONDS, CheckpointSchedule

seconds = st.floats(0.001, 1e5)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(seconds, seconds)
def test_the_interval_minimises_time_lost_to_checkpoints_and_failures(
    write: float, between: float
) -> None:
    pace = CheckpointSchedule(0, between, Clock())
    pace.saved(write)

    def lost(interval: float) -> float:
        # A share of the time is spent writing; an interruption loses half an interval.
        return write / interval + interval / 2 / between

    best = pace.interval_seconds
    assert lost(best) <= min(lost(best * 0.9), lost(best * 1.1))


@given(seconds, seconds, st.lists(st.floats(0.01, 1e4), max_size=30))
def test_a_checkpoint_is_due_after_an_interval_of_work(
    write: float, between: float, works: list[float]
) -> None:
    clock = Clock()
    pace = CheckpointSchedule(0, between, clock)
    worked = 0.0
    for work in works:
        clock.now += work
        worked += work
        assert pace.is_due(1) == (clock.now - (clock.now - worked) >= pace.interval_seconds) or (
            math.isclose(worked, pace.interval_seconds)
        )
        if pace.is_due(1):
            clock.now += write
            pace.saved(write)
            worked = 0.0


def test_the_first_checkpoint_is_early_to_measure_its_cost() -> None:
    clock = Clock()
    pace = CheckpointSchedule(0, 1e6, clock)
    clock.now = FIRST_SECONDS - 1
    assert not pace.is_due(7)
    clock.now = FIRST_SECONDS
    assert pace.is_due(8)


@given(st.integers(1, 50), st.integers(1, 500))
def test_a_fixed_interval_in_steps_overrides_time(steps: int, step: int) -> None:
    pace = CheckpointSchedule(steps, 60.0, Clock())
    pace.saved(1e6)
    assert pace.is_due(step) == (step % steps == 0)
