"""Evidence against a hypothesis may be looked at at any time."""

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_experiments.evidence import ENOUGH, MixtureBet


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-2.0, 0.5), (-0.25, 3.0)])
def test_nobody_can_expect_to_win_while_the_hypothesis_is_true(low: float, high: float) -> None:
    up = -low / (high - low)
    expected = 0.0
    for path in product((low, high), repeat=8):
        bet = MixtureBet(low)
        for value in path:
            bet.observe(value)
        expected += bet.wealth * prod(up if value == high else 1 - up for value in path)
    assert expected == pytest.approx(1.0)


@given(st.lists(st.floats(-1.5, 1.5), max_size=60))
def test_no_observation_within_the_bound_ruins_the_bet(values: list[float]) -> None:
    bet = MixtureBet(-1.5)
    for value in values:
        bet.observe(value)
        assert 0 < bet.wealth <= bet.largest


def test_evidence_grows_with_an_effect_and_stays_what_it_was_at_its_largest() -> None:
    bet = MixtureBet(-1.0)
    for _ in range(100):
        bet.observe(0.4)
    found = bet.largest
    for _ in range(100):
        bet.observe(-0.4)
    assert found > 1e6
    assert bet.largest == found > bet.wealth


def test_wealth_stays_finite() -> None:
    bet = MixtureBet(-1.0)
    for _ in range(10_000):
        bet.observe(1.0)
    assert ENOUGH / 100 < bet.wealth < 1e300


def test_the_same_observations_give_the_same_bits() -> None:
    bet = MixtureBet(-2.0)
    for number in range(500):
        bet.observe(((number * 7919) % 400) / 100 - 1.9)
    assert bet.wealth.hex() == "0x1.19d133eae71f9p+1"
