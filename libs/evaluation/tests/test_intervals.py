"""Properties of the intervals, whatever the rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_evaluation.intervals import Interval, accuracy, paired_difference

ROWS = st.lists(st.booleans(), min_size=1, max_size=300)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300)
FEW = 500
"""Resamples: enough for the properties, quick enough to try many."""


@given(ROWS)
def test_an_interval_contains_its_mean_and_stays_within_zero_and_one(correct: list[bool]) -> None:
    interval = accuracy(correct, resamples=FEW)

    assert 0 <= interval.low <= interval.mean <= interval.high <= 1


@given(ROWS)
def test_a_model_does_not_differ_from_itself(correct: list[bool]) -> None:
    assert paired_difference(correct, correct, resamples=FEW) == Interval(0.0, 0.0, 0.0)


@given(PAIRS)
def test_the_difference_is_that_of_the_accuracies(pairs: list[tuple[bool, bool]]) -> None:
    tuned, base = [a for a, _ in pairs], [b for _, b in pairs]

    difference = paired_difference(tuned, base, resamples=FEW)

    accuracies = accuracy(tuned, resamples=1).mean - accuracy(base, resamples=1).mean
    assert difference.mean == pytest.approx(accuracies)
    assert difference.low <= difference.mean <= difference.high


def test_the_interval_of_a_known_sample_is_the_binomials() -> None:
    interval = accuracy([True] * 150 + [False] * 50)

    assert interval.mean == 0.75
    assert interval.low == pytest.approx(0.69, abs=0.006)
    assert interval.high == pytest.approx(0.81, abs=0.006)


def test_the_interval_is_that_of_resampling_rows_one_by_one() -> None:
    values = np.array([True] * 30 + [False] * 70)
    generator = np.random.default_rng(5)
    means = [generator.choice(values, size=100).mean() for _ in range(4000)]

    interval = accuracy(list(values))

    assert interval.low == pytest.approx(np.quantile(means, 0.025), abs=0.011)
    assert interval.high == pytest.approx(np.quantile(means, 0.975), abs=0.011)


def test_pairing_rows_narrows_the_interval_when_models_agree_on_the_hard_ones() -> None:
    base = [True] * 50 + [False] * 50
    tuned = [True] * 60 + [False] * 40
    difference = paired_difference(tuned, base)

    unpaired_width = accuracy(tuned).high - accuracy(base).low
    assert difference.mean == pytest.approx(0.1)
    assert difference.high - difference.low < unpaired_width / 2


def test_the_same_seed_gives_the_same_interval() -> None:
    correct = [True, False, True, True]

    assert accuracy(correct, seed=3) == accuracy(correct, seed=3)


def test_no_rows_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no rows"):
        accuracy([])


def test_rows_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in number: 1 and 2"):
        paired_difference([True], [True, False])
