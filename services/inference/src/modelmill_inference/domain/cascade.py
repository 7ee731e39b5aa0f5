"""Model cascade: a small model answers, and a large one if the small one is not confident.

Confidence is computed from the probabilities of the answer's tokens. A mean over all tokens would
hide uncertain ones among many that grammar determines. So it is the geometric mean of the least
likely fifth of the tokens. The threshold is calibrated on examples that both models answered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

DOUBTFUL_SHARE = 0.2
NEVER = math.inf
"""Threshold of a cascade that always uses the large model."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Options of a cascade alias, beside the large version."""

    small: str
    """The version that answers first."""
    threshold: float


@dataclass(frozen=True, slots=True)
class CascadeOutcome:
    """Which model answered, and the tokens saved."""

    escalated: bool
    """Whether the large model answered."""
    confidence: float
    threshold: float
    spared_tokens: int
    """Tokens that the large model did not compute."""
    extra_tokens: int
    """Tokens of a discarded answer of the small model."""


@dataclass(frozen=True, slots=True)
class AnsweredExample:
    """Result of both models for one example."""

    confidence: float
    """Confidence of the small model."""
    small_is_right: bool
    large_is_right: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold with its results on the examples."""

    threshold: float
    """Minimum confidence for the small model's answer."""
    accuracy: float
    """Accuracy of the cascade."""
    large_accuracy: float
    """Accuracy of the large model alone."""
    small_share: float
    """Share of examples that the small model answers."""


def confidence(logprobs: Sequence[float]) -> float:
    """Confidence of an answer, from 0 to 1; 0 for an empty one."""
    if not logprobs:
        return 0.0
    doubtful = sorted(logprobs)[: max(1, round(DOUBTFUL_SHARE * len(logprobs)))]
    return math.exp(min(0.0, math.fsum(doubtful) / len(doubtful)))


def calibrate(examples: Sequence[AnsweredExample], *, max_loss: float = 0.0) -> Calibration:
    """The threshold that uses the small model most often, within the allowed loss of accuracy.

    Args:
        examples: must not be training examples, on which confidence is too high.
        max_loss: maximum difference to the large model's accuracy.

    Raises:
        InvalidInputError: there are no examples, or a confidence is not from 0 to 1.
    """
    if not examples:
        raise InvalidInputError("a cascade is calibrated on examples; there are none")
    if not all(0.0 <= each.confidence <= 1.0 for each in examples):
        raise InvalidInputError("a confidence is from 0 to 1")
    count = len(examples)
    large_right = sum(each.large_is_right for each in examples)
    best = Calibration(NEVER, large_right / count, large_right / count, 0.0)
    right, believed = large_right, 0
    ordered = sorted(examples, key=lambda each: -each.confidence)
    for place, each in enumerate(ordered):
        right += each.small_is_right - each.large_is_right
        believed += 1
        if place + 1 < count and ordered[place + 1].confidence == each.confidence:
            continue  # equal confidences are on the same side of a threshold
        # Compare counts instead of shares, to avoid rounding.
        if right >= large_right - max_loss * count:
            best = Calibration(
                each.confidence, right / count, large_right / count, believed / count
            )
    return best
