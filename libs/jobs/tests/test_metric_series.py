"""Metrics by step in few points: no extreme is lost, and memory has a bound."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from modelmill.jobs.v1.job_pb2 import JobProgress
from modelmill_job_index.metric_series import (
    MIN_POINTS,
    MetricKey,
    MetricSeries,
    MetricStore,
)

VALUES = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=400)
POINTS = st.integers(MIN_POINTS, 60)
LOSS = MetricKey("train", "loss")


def series_of(values: list[float], every: int = 3) -> MetricSeries:
    return MetricSeries(range(1, 1 + every * len(values), every), values)


def points_of(series: MetricSeries) -> list[tuple[int, float]]:
    return list(zip(series.steps, series.values, strict=True))


def buckets_of(values: list[float], points: int) -> list[list[tuple[int, float]]]:
    """Neighbours between the first and the last point, by the definition of a bucket."""
    inner = points_of(series_of(values))[1:-1]
    count = (points - 2) // 2
    bounds = [len(inner) * bucket // count for bucket in range(count + 1)]
    return [inner[begin:end] for begin, end in pairwise(bounds)]


@given(VALUES, POINTS)
def test_few_points_are_all_given_and_many_are_at_most_as_many_as_asked(
    values: list[float], points: int
):
    sampled = series_of(values).sampled(points)

    if len(values) <= points:
        assert points_of(sampled) == points_of(series_of(values))
        assert not sampled.is_sampled
    else:
        assert len(sampled) <= points
        assert sampled.is_sampled


@given(VALUES.filter(len), POINTS)
def test_the_first_and_the_last_point_are_kept_and_nothing_is_made_up(
    values: list[float], points: int
):
    whole, sampled = points_of(series_of(values)), points_of(series_of(values).sampled(points))

    assert (sampled[0], sampled[-1]) == (whole[0], whole[-1])
    assert set(sampled) <= set(whole)
    assert [step for step, _ in sampled] == sorted({step for step, _ in sampled})


@given(VALUES, POINTS)
def test_the_lowest_and_the_highest_of_each_bucket_are_kept(values: list[float], points: int):
    sampled = points_of(series_of(values).sampled(points))
    if len(values) <= points:
        return

    for bucket in buckets_of(values, points):
        kept = [value for step, value in sampled if bucket[0][0] <= step <= bucket[-1][0]]
        assert min(kept) == min(value for _, value in bucket)
        assert max(kept) == max(value for _, value in bucket)


@given(VALUES.filter(len), st.integers(0, 1300), st.integers(0, 1300))
def test_a_range_has_its_exact_points(values: list[float], first: int, last: int):
    chosen = series_of(values).between(first, last)

    expected = [each for each in points_of(series_of(values)) if first <= each[0] <= last]
    assert points_of(chosen) == expected


def test_a_step_that_is_trained_again_takes_the_place_of_what_followed():
    series = series_of([3.0, 2.0, 1.0], every=1)

    series.add(2, 2.5)

    assert points_of(series) == [(1, 3.0), (2, 2.5)]


def test_what_is_no_number_is_left_out():
    series = MetricSeries()
    for step, value in enumerate((1.0, float("nan"), float("inf"), 2.0)):
        series.add(step, value)

    assert points_of(series) == [(0, 1.0), (3, 2.0)]


def test_saved_points_are_continued_by_what_was_reported_behind_them():
    saved, reported = MetricSeries([1, 2], [3.0, 2.0]), MetricSeries([2, 3], [9.0, 1.0])

    assert points_of(saved.followed_by(reported)) == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert points_of(MetricSeries().followed_by(reported)) == points_of(reported)


def report(job_id: str, step: int, value: float) -> JobProgress:
    return JobProgress(job_id=job_id, phase="train", done=step, metrics={"loss": value})


def test_all_jobs_together_have_a_bound_and_a_spike_is_not_thinned_away():
    store = MetricStore(max_points=1000)
    store.add(report("short", 1, 5.0))
    for step in range(1, 20_001):
        store.add(report("long", step, 99.0 if step == 4321 else 1.0))
        assert store.points <= 1000

    series = store.of("long")[LOSS]
    assert series.is_sampled
    assert (series.steps[0], series.steps[-1]) == (1, 20_000)
    assert (4321, 99.0) in points_of(series)
    assert points_of(store.of("short")[LOSS]) == [(1, 5.0)]


def test_what_is_forgotten_counts_no_more():
    store = MetricStore()
    store.add(report("one", 1, 1.0))
    store.add(report("one", 1, 2.0))
    assert store.points == 1

    store.forget("one")
    store.forget("unknown")

    assert store.points == 0
    assert store.of("one") == {}
