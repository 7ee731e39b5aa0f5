"""The bench of experiments measures what it says."""

from itertools import islice
from statistics import fmean

import pytest

from tests.bench.experiments import KINDS, even_run, wilson
from tests.bench.simulated_answers import ANSWERS, NEW, Arms, binary


def test_both_arms_of_an_even_run_answer_alike() -> None:
    for arms in KINDS.values():
        found: dict[str, list[float]] = {"base": [], NEW: []}
        for unit in islice(arms.keys(1), 4_000):
            found[unit.arm] += unit.values[arms.metric]
        assert fmean(found[NEW]) == pytest.approx(fmean(found["base"]), rel=0.1)


def test_answers_of_a_key_resemble_each_other_more_than_those_of_others() -> None:
    keys = [
        unit.values["satisfaction"]
        for unit in islice(Arms("satisfaction", binary, 0.7).keys(1), 4_000)
    ]
    assert fmean(len(values) for values in keys) == pytest.approx(ANSWERS, rel=0.1)
    pairs = [(values[0], values[1]) for values in keys if len(values) > 1]
    mean = fmean(first for first, _ in pairs)
    assert fmean((first - mean) * (second - mean) for first, second in pairs) > 0.01


def test_an_effect_moves_the_candidate_alone() -> None:
    arms = Arms("satisfaction", binary, 0.5, effect=0.3)
    found: dict[str, list[float]] = {"base": [], NEW: []}
    for unit in islice(arms.keys(1), 4_000):
        found[unit.arm] += unit.values["satisfaction"]
    assert fmean(found[NEW]) - fmean(found["base"]) == pytest.approx(0.3, abs=0.04)


def test_a_test_that_is_looked_at_all_the_time_is_wrong_more_often() -> None:
    runs = [even_run("binary", seed) for seed in range(20)]
    assert sum(run.peeked for run in runs) > sum(run.ours for run in runs)


def test_the_interval_of_a_share_has_it() -> None:
    low, high = wilson(0.05, 1_000)
    assert low < 0.05 < high < 0.07
    assert wilson(0.0, 100)[0] == 0.0
