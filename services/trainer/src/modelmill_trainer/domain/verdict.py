"""Whether a run has taught its model anything, by what was measured before and after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """What is said of a run beside its figures."""

    learned: bool
    advice: str
    """What was seen and what to try; empty where there is nothing to say."""

    def as_json(self) -> dict[str, Any]:
        """For the summary of the run."""
        return {"learned": self.learned} | ({"advice": self.advice} if self.advice else {})


def judge(
    *,
    by_adapter: bool,
    first_valid_loss: float | None,
    valid_loss: float | None,
    gain: Mapping[str, float] | None,
) -> Verdict | None:
    """Judge by what was measured; None where nothing was.

    Args:
        by_adapter: Whether the base's own weights stayed as they are.
        first_valid_loss: Of the valid split, before the first step.
        valid_loss: The same of the result.
        gain: Of the score over the base's: `mean`, and `low` and `high` of its 95 % interval.
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
        return Verdict(False, f"It did not learn: {'; '.join(seen)}. {_remedy(by_adapter)}")
    measured = gain is not None or (first_valid_loss is not None and valid_loss is not None)
    return Verdict(True, "") if measured else None


def _remedy(by_adapter: bool) -> str:
    other = ", training_method full" if by_adapter else ""
    return (
        f"Try more rows, more epochs, another learning_rate_multiplier{other} or a larger base; a "
        "test split of few rows cannot show a small gain."
    )
