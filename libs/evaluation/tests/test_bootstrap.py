"""Intervals hold what they promise, and pairs are compared as pairs."""

import numpy as np
import pytest
from modelmill_evaluation.groups import (
    MAX_GROUPS,
    NONE,
    OTHERS,
    grouped,
    length_label,
    script_label,
    value_label,
)
from modelmill_evaluation.intervals import Statistics, accuracy, compare, estimate
from modelmill_evaluation.scores import RowOutcome, measure_of

MEAN = measure_of("exact_match")


def rows_of(values: list[float | None]) -> Statistics:
    return Statistics.of_rows([None if value is None else (value,) for value in values])


def test_the_interval_of_a_mean_is_the_one_that_accuracy_has() -> None:
    right = [True] * 30 + [False] * 10
    known = accuracy(right, seed=7, resamples=2_000)

    found = estimate(MEAN, rows_of([float(row) for row in right]), seed=7, resamples=2_000)

    assert found is not None
    assert (found.value, found.rows) == (0.75, 40)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.03)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(3)
    held = 0
    for seed in range(200):
        lengths = random.integers(1, 20, 120)
        losses = random.exponential(2.0, 120) * lengths
        rows = [
            RowOutcome("x", log_likelihood=-loss, tokens=int(length))
            for loss, length in zip(losses, lengths, strict=True)
        ]
        measure = measure_of("perplexity")
        found = estimate(measure, measure.statistics(rows), seed=seed, resamples=300)
        assert found is not None
        held += found.low <= np.exp(2.0) <= found.high

    assert 0.90 <= held / 200 <= 0.99


def test_a_small_steady_gain_is_clear_in_pairs_though_the_intervals_overlap() -> None:
    hardness = np.linspace(0, 1, 100)
    worse, better = rows_of(list(hardness)), rows_of(list(hardness + 0.05))

    alone = [estimate(MEAN, each, resamples=500) for each in (worse, better)]
    found = compare(MEAN, better, worse, resamples=500)

    assert alone[0] is not None
    assert alone[1] is not None
    assert found is not None
    assert alone[1].low < alone[0].high
    assert found.difference.low == pytest.approx(0.05)
    assert (found.won, found.is_clear) == (1, True)


def test_only_rows_that_both_answered_are_compared() -> None:
    first, second = rows_of([1.0, None, 0.0, 1.0]), rows_of([0.0, 1.0, 0.0, None])

    found = compare(MEAN, first, second, resamples=50)

    assert found is not None
    assert (found.difference.value, found.difference.rows) == (0.5, 2)
    assert (found.won, found.lost, found.tied) == (0.5, 0, 0.5)
    with pytest.raises(ValueError, match="differ in number"):
        compare(MEAN, first, rows_of([1.0]))


def test_of_a_loss_the_smaller_one_wins() -> None:
    measure = measure_of("perplexity")
    likely = measure.statistics([RowOutcome("x", log_likelihood=-1.0, tokens=1)])
    unlikely = measure.statistics([RowOutcome("x", log_likelihood=-2.0, tokens=1)])

    found = compare(measure, likely, unlikely, resamples=10)

    assert found is not None
    assert found.won == 1
    assert found.difference.value < 0


def test_the_same_seed_gives_the_same_interval_and_memory_bounds_nothing(monkeypatch) -> None:
    rows = rows_of([n / 50 for n in range(50)])
    whole = estimate(MEAN, rows, seed=5, resamples=100)
    monkeypatch.setattr("modelmill_evaluation.intervals.DRAWN_AT_ONCE", 200)

    assert estimate(MEAN, rows, seed=5, resamples=100) == whole
    assert estimate(MEAN, rows, seed=6, resamples=100) != whole


def test_statistics_of_some_rows_are_those_of_these_rows() -> None:
    measure = measure_of("f1")
    rows = [
        RowOutcome("a", choices=("a", "b"), right=n % 2, choice_scores=(-1.0, -float(n % 3)))
        for n in range(12)
    ]
    places = np.array([1, 4, 7, 8])

    picked = estimate(measure, measure.statistics(rows).of(places), resamples=10)
    alone = estimate(measure, measure.statistics([rows[n] for n in places]), resamples=10)

    assert picked is not None
    assert alone is not None
    assert picked.value == pytest.approx(alone.value)


def test_rows_of_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="how many numbers"):
        Statistics.of_rows([(1.0,), (1.0, 2.0)])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Where is the cat?", "latin"),
        ("我喜欢猫 cat", "han"),
        ("私は猫が好きです", "kana"),
        ("고양이", "hangul"),
        ("кошка", "cyrillic"),
        ("12 + 3 = ?", "other"),
    ],
)
def test_a_text_is_of_the_script_of_most_of_its_letters(text: str, label: str) -> None:
    assert script_label(text) == label


def test_lengths_and_values_have_groups_of_their_own() -> None:
    assert [length_label("x" * n, (2, 5)) for n in (0, 2, 3, 5, 6)] == [
        *("0-2", "0-2", "3-5", "3-5", "6-")
    ]
    assert [value_label(each) for each in ("zh", 3, True, None, [1], "", "\ud800")] == [
        *("zh", "3", "true", NONE, NONE, NONE, "?")
    ]


def test_the_smallest_of_too_many_groups_are_one() -> None:
    labels = [f"g{n}" for n in range(60) for _ in range(60 - n)]

    groups = grouped(labels)

    assert len(groups) == MAX_GROUPS
    assert next(iter(groups)) == "g0"
    assert len(groups[OTHERS]) == sum(60 - n for n in range(49, 60))
    assert sorted(place for places in groups.values() for place in places) == list(
        range(len(labels))
    )
    assert grouped(["a"] * 2) == {"a": [0, 1]}
