"""Assessment whether training improved the model, from metrics before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingAssessment:
    """Result of the assessment, shown with the run's metrics."""

    learned: bool
    advice: str
    """Findings and what to try; empty if the model improved."""

    def as_json(self) -> dict[str, Any]:
        """For the summary of the run."""
        return {"learned": self.learned} | ({"advice": self.advice} if self.advice else {})


def assess_training(
    *,
    by_adapter: bool,
    first_valid_loss: float | None,
    valid_loss: float | None,
    gain: Mapping[str, float] | None,
) -> TrainingAssessment | None:
    """Assess by validation loss and score; None if neither was measured.

    Args:
        by_adapter: Whether the base's weights were frozen.
        first_valid_loss: Validation loss before the first step.
        valid_loss: Validation loss of the result.
        gain: Score minus the base's: `mean`, and `low` and `high` of the 95 % interval.
    """
    seen = []
    if first_valid_loss is not None and valid_loss is not None and valid_loss >= first_valid_loss:
        seen.append(
            f"the loss of the valid split is {valid_loss:.3g}, and was {first_valid_loss:.3g} "
            "before the first step"
        )
    if gain is not None and gain["low"] <= 0:
        seen.append(
            f"the score is not above the base's: {100 * gain['mean']:+.1f} points "
            f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
        )
    if seen:
        return TrainingAssessment(
            False, f"It did not learn: {'; '.join(seen)}. {_remedy(by_adapter)}"
        )
    measured = gain is not None or (first_valid_loss is not None and valid_loss is not None)
    return TrainingAssessment(True, "") if measured else None


def _remedy(by_adapter: bool) -> str:
    other = ", training_method full" if by_adapter else ""
    return (
        f"Try more rows, more epochs, another learning_rate_multiplier{other} or a larger base; a "
        "test split of few rows cannot show a small gain."
    )
