"""The mean over the tasks of a suite, with its interval, for one model and for two."""

from collections.abc import Sequence

import pytest
from modelmill_evaluation.intervals import (
    Statistics,
    Task,
    compare,
    estimate,
    mean_comparison,
    mean_estimate,
)
from modelmill_evaluation.scores import RowOutcome, measure_of

ACCURACY = measure_of("accuracy")


def task(rights: Sequence[bool]) -> Task:
    rows = [
        RowOutcome("a", choices=("a", "b"), right=0, choice_scores=(1.0, 0.0) if it else (0.0, 1.0))
        for it in rights
    ]
    return ACCURACY, ACCURACY.statistics(rows)


def unmeasured() -> Task:
    return ACCURACY, Statistics.of_rows([None, None])


FEW, MANY = [True, False] * 5, [True, True, True, False] * 50


def test_each_task_counts_the_same_however_many_rows_it_has() -> None:
    mean = mean_estimate([task(FEW), task(MANY)])

    assert mean is not None
    assert mean.value == pytest.approx((0.5 + 0.75) / 2)
    assert mean.rows == len(FEW) + len(MANY)
    assert mean.low < mean.value < mean.high


def test_tasks_are_resampled_apart_so_the_mean_is_surer_than_one_of_them() -> None:
    alone, mean = estimate(*task(FEW)), mean_estimate([task(FEW), task(FEW), task(FEW)])

    assert alone is not None
    assert mean is not None
    assert mean.high - mean.low == pytest.approx((alone.high - alone.low) / 3**0.5, rel=0.25)


def test_a_mean_over_tasks_of_which_one_was_not_measured_is_none() -> None:
    assert mean_estimate([task(FEW), unmeasured()]) is None
    assert mean_comparison([task(FEW), unmeasured()], [task(FEW), task([True] * 2)]) is None
    assert mean_estimate([]) is None


def test_of_two_models_the_rows_of_each_task_are_resampled_in_pairs() -> None:
    better = [task([True] * 10), task(MANY)]
    both = mean_comparison(better, [task(FEW), task(MANY)])

    assert both is not None
    assert both.difference.value == pytest.approx(0.25)
    # What is hard for both cancels: the second task adds nothing to the interval.
    alone = compare(ACCURACY, better[0][1], task(FEW)[1])
    assert alone is not None
    assert both.difference.high - both.difference.low == pytest.approx(
        (alone.difference.high - alone.difference.low) / 2, rel=0.1
    )
    assert (both.won, both.lost, both.tied) == (0.5, 0, 0.5)
    assert both.is_clear
