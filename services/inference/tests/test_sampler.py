"""What is drawn follows from logits, options and seed alone, and from nothing beside them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_inference.children.sampler import Sampler, nucleus, row_of

PLAIN = {
    "prompt": [0],
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "seed": 0,
}
CHANCES = np.array([0.5, 0.1, 0.25, 0.15])
LOGITS = np.log(CHANCES).astype(np.float32)


def draws(count: int, logits: np.ndarray = LOGITS, **options: Any) -> list[int]:
    sampler = Sampler(PLAIN | options, len(logits))
    return [sampler.draw(logits) for _ in range(count)]


def test_tokens_are_drawn_by_their_probability() -> None:
    drawn = Counter(draws(8000))

    assert [drawn[token] / 8000 for token in range(4)] == pytest.approx(CHANCES, abs=0.02)


def test_the_temperature_sharpens_what_is_drawn() -> None:
    drawn = Counter(draws(8000, temperature=0.5))
    squared = CHANCES**2 / (CHANCES**2).sum()

    assert [drawn[token] / 8000 for token in range(4)] == pytest.approx(squared, abs=0.02)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"top_k": 2}, {0, 2}),
        ({"top_p": 0.7}, {0, 2}),
        ({"top_p": 0.8}, {0, 2, 3}),
        ({"top_k": 3, "top_p": 0.5}, {0}),
        ({"top_p": 1e-6}, {0}),
        ({"temperature": 0.0}, {0}),
    ],
)
def test_top_k_and_top_p_leave_the_likeliest(options: dict[str, float], left: set[int]) -> None:
    assert set(draws(400, **options)) == left


def test_a_seed_repeats_its_tokens_and_another_draws_others() -> None:
    assert draws(40, seed=7) == draws(40, seed=7) != draws(40, seed=2**64 - 1)


def test_tokens_that_are_not_allowed_are_never_drawn() -> None:
    allowed = np.array([False, True, False, True])
    for temperature in (0.0, 1.0):
        sampler = Sampler(PLAIN | {"temperature": temperature}, 4)
        assert {sampler.draw(LOGITS, allowed) for _ in range(100)} <= {1, 3}


def test_presence_and_frequency_are_taken_from_what_was_said_whatever_its_sign() -> None:
    logits = np.array([-1.0, -1.5, -1.6], np.float32)
    sampler = Sampler(PLAIN | {"temperature": 0.0, "presence_penalty": 1.0}, 3)

    assert [sampler.draw(logits) for _ in range(3)] == [0, 1, 2]


def test_repetition_weakens_prompt_and_answer_as_in_transformers() -> None:
    sampler = Sampler(PLAIN | {"temperature": 0.0, "repetition_penalty": 2.0}, 3)
    logits = np.array([3.0, 2.0, -1.0], np.float32)

    assert [sampler.draw(logits), sampler.draw(logits)] == [1, 0]


def test_logits_are_not_changed() -> None:
    logits = LOGITS.copy()
    draws(3, logits, repetition_penalty=1.5, presence_penalty=1.0, top_k=2)

    assert (logits == LOGITS).all()


@given(
    st.lists(st.floats(0.001, 1), min_size=1, max_size=40),
    st.floats(0.001, 0.999),
    st.integers(1, 5),
)
def test_a_nucleus_is_what_sorting_everything_gives(
    chances: list[float], top_p: float, times: int
) -> None:
    given_chances = np.tile(np.array(chances), times)
    order = sorted(range(len(given_chances)), key=lambda place: (-given_chances[place], place))
    expected, total = [], 0.0
    for place in order:
        if expected and total >= top_p * given_chances.sum() - 1e-12:
            break
        expected.append(place)
        total += given_chances[place]

    found = nucleus(given_chances, top_p).tolist()

    assert abs(len(found) - len(expected)) <= 1
    assert found[: len(expected)] == expected[: len(found)]


def test_a_nucleus_of_a_large_flat_vocabulary_is_whole() -> None:
    assert len(nucleus(np.ones(5000), 0.5)) == pytest.approx(2500, abs=1)


def test_alternatives_come_likeliest_first_with_the_chosen_tokens_own_likelihood() -> None:
    logprob, alternatives = row_of(LOGITS + 3, token=1, alternatives=2)

    assert logprob == pytest.approx(np.log(0.1))
    assert [token for token, _ in alternatives] == [0, 2]
    assert row_of(LOGITS, token=1, alternatives=0)[1] == []
