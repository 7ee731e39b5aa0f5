"""Parity of weights: what rounding may do to a tensor, and what it may not."""

import numpy as np
import pytest
from modelmill_evaluation.parity.goldens import ParityError
from modelmill_evaluation.parity.weights import WeightLimit, Weights, check_head, check_tensor

SOURCE: Weights = np.random.default_rng(0).normal(0, 0.02, (64, 96)).astype(np.float32)
NOISE: Weights = np.random.default_rng(1).normal(0, 0.02, SOURCE.shape).astype(np.float32)
LIMIT = WeightLimit(error=0.1)


def refusal(found: Weights, source: Weights = SOURCE) -> str:
    with pytest.raises(ParityError) as caught:
        check_tensor("up", source, found, LIMIT, form="tiny-form")
    assert "'up' of tiny-form" in caught.value.message
    assert caught.value.remedy
    return caught.value.code


def test_rounding_within_the_limit_is_accepted_with_its_size() -> None:
    found = SOURCE + np.float32(0.08) * NOISE

    assert check_tensor("up", SOURCE, found, LIMIT, form="f") == pytest.approx(0.08, rel=0.05)
    assert check_tensor("up", SOURCE, SOURCE, WeightLimit(error=0.0), form="f") == 0.0


def test_damage_is_named_by_what_it_is() -> None:
    holed = SOURCE.copy()
    holed[:8] = 0

    assert refusal(SOURCE * 0) == "TENSOR_ZEROED"
    assert refusal(SOURCE * np.float32(1.05)) == "TENSOR_SCALED"
    assert refusal(SOURCE * np.float32(-1)) == "TENSOR_SCALED"
    assert refusal(holed) == "WEIGHTS_DIFFER"
    assert refusal(SOURCE + np.float32(0.2) * NOISE) == "WEIGHTS_DIFFER"
    assert refusal(SOURCE[::-1].copy()) == "WEIGHTS_DIFFER"
    assert refusal(SOURCE.T.copy()) == "WEIGHTS_DIFFER"
    assert refusal(SOURCE * np.float32("nan")) == "WEIGHTS_DIFFER"
    assert refusal(SOURCE, source=SOURCE * 0) == "WEIGHTS_DIFFER"


def test_zeros_of_the_source_may_stay_zeros() -> None:
    assert check_tensor("bias", SOURCE * 0, SOURCE * 0, LIMIT, form="f") == 0.0


@pytest.mark.parametrize(
    ("is_tied", "head", "is_right"),
    [
        (True, None, True),
        (True, SOURCE, True),
        (True, NOISE, False),
        (False, None, False),
        (False, NOISE, True),
        (False, SOURCE, True),
    ],
)
def test_an_output_layer_is_what_the_config_says(
    is_tied: bool, head: Weights | None, is_right: bool
) -> None:
    def check() -> None:
        check_head(is_tied=is_tied, embedding=SOURCE, head=head, form="tiny-form")

    if is_right:
        check()
        return
    with pytest.raises(ParityError) as caught:
        check()
    assert caught.value.code == "HEAD_CONTRADICTS"
