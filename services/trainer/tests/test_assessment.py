"""When a run is said to have learned nothing."""

from typing import Any

import pytest
from modelmill_trainer.domain.assessment import TrainingAssessment, assess_training

GAIN = {"mean": 0.4, "low": 0.3, "high": 0.5}
NO_GAIN = {"mean": 0.033, "low": 0.0, "high": 0.083}


def verdict(
    first: float | None = None,
    last: float | None = None,
    gain: dict[str, float] | None = None,
    *,
    by_adapter: bool = True,
) -> TrainingAssessment | None:
    return assess_training(
        by_adapter=by_adapter, first_valid_loss=first, valid_loss=last, gain=gain
    )


@pytest.mark.parametrize("measured", [(2.0, 1.0, GAIN), (2.0, 1.0, None), (None, None, GAIN)])
def test_lower_loss_and_higher_score_count_as_improvement(measured: Any) -> None:
    assert verdict(*measured) == TrainingAssessment(True, "")


def test_without_metrics_there_is_no_assessment() -> None:
    assert verdict() is None
    assert verdict(2.0, None) is None


@pytest.mark.parametrize(
    ("measured", "seen"),
    [
        ((2.0, 2.0, GAIN), "the loss of the valid split is 2, and was 2 before the first step"),
        ((2.0, 2.5, None), "the loss of the valid split is 2.5, and was 2 before"),
        ((2.0, 1.0, NO_GAIN), "the score is not above the base's: +3.3 points (+0.0 to +8.3)"),
    ],
)
def test_findings_are_reported_with_advice(measured: Any, seen: str) -> None:
    said = verdict(*measured)

    assert said is not None
    assert not said.learned
    assert seen in said.advice
    assert "Try more rows" in said.advice


def test_method_full_is_not_advised_to_a_full_run() -> None:
    adapter, full = verdict(gain=NO_GAIN), verdict(gain=NO_GAIN, by_adapter=False)

    assert adapter is not None
    assert full is not None
    assert "training_method full" in adapter.advice
    assert "training_method full" not in full.advice
