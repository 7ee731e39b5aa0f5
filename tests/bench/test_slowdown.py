"""What a slowdown is, and when it is too much."""

from math import comb

import pytest

from tests.bench.slowdown import FEWEST_TURNS, cost_ratio, entry, median_of


@pytest.mark.parametrize(
    ("before", "after", "unit"), [(10.0, 11.0, "us/piece"), (11.0, 10.0, "tokens/s")]
)
def test_what_takes_more_or_gives_less_is_dearer(before: float, after: float, unit: str) -> None:
    assert cost_ratio(before, after, unit) == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("ratios", "name", "unit", "met"),
    [
        ([1.0, 1.01, 0.99, 1.0], "guard.stream", "us/piece", True),
        ([1.05, 1.06, 1.04, 1.05], "guard.stream", "us/piece", False),
        ([1.05, 1.06, 1.04, 1.05, 1.05, 1.04], "front.rate", "us/piece", True),
        ([0.97, 1.0, 1.01, 1.02, 1.0, 0.99, 1.0, 1.01, 1.9], "decode.path.8", "us/piece", True),
        ([0.97, 1.0, 1.01, 1.02, 1.04, 0.99, 1.0, 1.04, 1.9], "decode.path.8", "us/piece", False),
        ([0.9, 1.2, 0.8, 1.1], "guard.stream", "us/piece", False),
        ([1.05, 1.06, 1.04, 1.05], "front.added.p99", "ms added", True),
        ([1.5, -0.2, 4.0, 1.1], "front.added.p99", "ms added", False),
    ],
)
def test_the_upper_bound_of_the_interval_decides(
    ratios: list[float], name: str, unit: str, met: bool
) -> None:
    line = entry(name, [(1.0, ratio) for ratio in ratios], unit)

    assert line.met is met
    assert line.ci95[0] <= line.ratio <= line.ci95[1]


@pytest.mark.parametrize("count", range(FEWEST_TURNS, 22))
def test_a_median_lies_in_its_interval_with_95_percent(count: int) -> None:
    low, middle, high = median_of([float(number) for number in range(count)])

    assert middle == (count - 1) / 2
    assert low == count - 1 - high
    covered = [
        sum(comb(count, k) for k in range(int(low + n) + 1, int(high - n) + 1)) for n in (0, 1)
    ]
    assert covered[1] < 0.95 * 2**count <= covered[0]
