"""A cascade: a small model answers, and a large one where the small one was not sure.

Whether it was sure is read off the probabilities of its own tokens. What counts is not the mean: an
answer is as good as its doubtful places, and a long one has many that are certain by grammar alone.
So the confidence is the geometric mean over the least likely fifth of the tokens. How much
confidence is enough is not guessed but calibrated, on examples that both models have answered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

DOUBTFUL_SHARE = 0.2
NEVER = math.inf
"""Threshold of a cascade whose small model is never believed."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """What an alias of this kind has beside the large version."""

    small: str
    """The version that is asked first."""
    threshold: float


@dataclass(frozen=True, slots=True)
class CascadeOutcome:
    """Which way an answer came, and what that saved."""

    escalated: bool
    """The large model answered."""
    confidence: float
    threshold: float
    spared_tokens: int
    """Tokens that the large model did not have to compute."""
    extra_tokens: int
    """Tokens that the small model computed in vain."""


@dataclass(frozen=True, slots=True)
class AnsweredExample:
    """A prompt that both models have answered."""

    confidence: float
    """Of the small one in its answer."""
    small_is_right: bool
    large_is_right: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a threshold comes to on the examples."""

    threshold: float
    """The small model's answer stands when its confidence is at least this."""
    accuracy: float
    """Share of examples that the cascade gets right."""
    large_accuracy: float
    """Share that the large model alone gets right."""
    small_share: float
    """Share that the small model answers: what the large one is spared."""


def confidence(logprobs: Sequence[float]) -> float:
    """From 0 to 1: how sure a model was of an answer with these tokens; 0 of an empty one."""
    if not logprobs:
        return 0.0
    doubtful = sorted(logprobs)[: max(1, round(DOUBTFUL_SHARE * len(logprobs)))]
    return math.exp(min(0.0, math.fsum(doubtful) / len(doubtful)))


def calibrate(examples: Sequence[AnsweredExample], *, max_loss: float = 0.0) -> Calibration:
    """The threshold that spares the large model most, at an accuracy that is not much below its.

    Args:
        examples: none of those that the models were trained on, or confidence says too much.
        max_loss: what the cascade's accuracy may lie below the large model's.

    Raises:
        InvalidInputError: there are no examples, or a confidence is no number from 0 to 1.
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
            continue  # a threshold takes all of one confidence, or none
        # Whole examples are compared: rounding must not decide.
        if right >= large_right - max_loss * count:
            best = Calibration(
                each.confidence, right / count, large_right / count, believed / count
            )
    return best
