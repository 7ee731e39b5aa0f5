"""What a unit says of the difference is right on average, whatever keys are like."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_experiments.contrast import Contrast

shares = st.floats(0.0, 1.0)


@given(
    st.lists(st.tuples(shares, shares), min_size=1, max_size=6),
    st.floats(0.05, 0.95),
    st.floats(0.5, 1.5),
)
def test_over_all_draws_the_observations_sum_to_the_effects(
    keys: list[tuple[float, float]], chance: float, factor: float
) -> None:
    expected = 0.0
    for draw in product((False, True), repeat=len(keys)):
        contrast, weight, total = Contrast(chance, factor), 1.0, 0.0
        for of_candidate, (base, candidate) in zip(draw, keys, strict=True):
            weight *= chance if of_candidate else 1 - chance
            value = candidate if of_candidate else base
            total += contrast.observe(value, of_candidate=of_candidate)
        expected += weight * total
    effects = sum(candidate - factor * base for base, candidate in keys)
    assert expected == pytest.approx(effects, abs=1e-9)


@given(st.lists(st.tuples(shares, st.booleans()), max_size=50), st.floats(0.05, 0.95))
def test_no_observation_is_beyond_the_largest(
    keys: list[tuple[float, bool]], chance: float
) -> None:
    contrast = Contrast(chance, 1.1)
    for value, of_candidate in keys:
        assert abs(contrast.observe(value, of_candidate=of_candidate)) <= contrast.largest() + 1e-9
