"""When a small model's answer stands, and how much confidence is enough."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_inference.domain.cascade import NEVER, AnsweredExample, calibrate, confidence
from modelmill_service_kit.errors import InvalidInputError

LOGPROBS = st.lists(st.floats(-30, 0), min_size=1, max_size=60)
EXAMPLES = st.lists(
    st.builds(
        AnsweredExample,
        confidence=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0]),
        small_is_right=st.booleans(),
        large_is_right=st.booleans(),
    ),
    min_size=1,
    max_size=40,
)
LOSSES = st.sampled_from([0.0, 0.02, 0.1, 1.0])


def outcome(examples: list[AnsweredExample], threshold: float) -> tuple[int, int]:
    """Right answers of the cascade, and answers by the small model."""
    believed = [each.confidence >= threshold for each in examples]
    right = sum(
        each.small_is_right if small else each.large_is_right
        for each, small in zip(examples, believed, strict=True)
    )
    return right, sum(believed)


@given(LOGPROBS)
def test_confidence_lies_between_the_least_likely_token_and_the_mean(
    logprobs: list[float],
) -> None:
    found = confidence(logprobs)

    assert math.exp(min(logprobs)) <= found * (1 + 1e-9)
    assert found <= math.exp(math.fsum(logprobs) / len(logprobs)) * (1 + 1e-9)
    assert 0.0 <= found <= 1.0


@given(LOGPROBS, st.integers(0, 59), st.floats(0, 5))
def test_a_less_likely_token_never_makes_an_answer_more_certain(
    logprobs: list[float], place: int, less: float
) -> None:
    worse = list(logprobs)
    worse[place % len(worse)] -= less

    assert confidence(worse) <= confidence(logprobs) * (1 + 1e-9)


@given(LOGPROBS, st.randoms())
def test_the_order_of_tokens_does_not_matter(logprobs: list[float], shuffle: random.Random) -> None:
    shuffled = list(logprobs)
    shuffle.shuffle(shuffled)

    assert confidence(shuffled) == confidence(logprobs)


def test_one_doubtful_place_is_not_hidden_by_many_certain_ones() -> None:
    doubtful = [math.log(0.3)] + [0.0] * 4

    assert confidence(doubtful) == pytest.approx(0.3)
    assert confidence([]) == 0.0


@given(EXAMPLES, LOSSES)
def test_the_calibrated_cascade_does_what_it_says(
    examples: list[AnsweredExample], loss: float
) -> None:
    found = calibrate(examples, max_loss=loss)

    right, believed = outcome(examples, found.threshold)
    assert found.accuracy == right / len(examples)
    assert found.small_share == believed / len(examples)
    assert found.large_accuracy == outcome(examples, NEVER)[0] / len(examples)
    assert found.accuracy >= found.large_accuracy - loss - 1e-9


@given(EXAMPLES, LOSSES)
def test_no_other_threshold_spares_the_large_model_more(
    examples: list[AnsweredExample], loss: float
) -> None:
    found = calibrate(examples, max_loss=loss)

    large, _ = outcome(examples, NEVER)
    for threshold in {each.confidence for each in examples}:
        right, believed = outcome(examples, threshold)
        if right >= large - loss * len(examples):
            assert believed / len(examples) <= found.small_share


@given(EXAMPLES, st.randoms())
def test_the_order_of_examples_does_not_matter(
    examples: list[AnsweredExample], shuffle: random.Random
) -> None:
    shuffled = list(examples)
    shuffle.shuffle(shuffled)

    assert calibrate(shuffled) == calibrate(examples)


def test_a_small_model_that_is_always_wrong_is_never_believed() -> None:
    examples = [AnsweredExample(0.9, small_is_right=False, large_is_right=True)] * 5

    assert calibrate(examples).threshold == NEVER
    assert calibrate(examples).small_share == 0.0


@pytest.mark.parametrize(
    "examples", [[], [AnsweredExample(1.5, True, True)], [AnsweredExample(math.nan, True, True)]]
)
def test_a_calibration_without_sense_is_refused(examples: list[AnsweredExample]) -> None:
    with pytest.raises(InvalidInputError):
        calibrate(examples)
