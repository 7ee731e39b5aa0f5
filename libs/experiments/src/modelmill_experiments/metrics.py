"""What an experiment measures of answers, each between 0 and 1 so that it can be bet on."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Scale(StrEnum):
    """How a metric's values become numbers from 0 to 1."""

    SHARE = "share"
    """They are: yes or no, or a part of 1. Harm is counted in parts of 1."""
    AMOUNT = "amount"
    """Over a cap, at which longer ones count. Harm is counted in parts of the base's mean."""
    TAIL = "tail"
    """Whether it is beyond the base's 95 % quantile. Harm is counted in parts of 1."""


@dataclass(frozen=True)
class Metric:
    """Something that is measured of answers.

    Attributes:
        name: As an experiment names it.
        scale: How its values become numbers from 0 to 1.
        higher_is_better: Whether more of it is better.
        max_harm: What may be lost of it unless an experiment says otherwise.
    """

    name: str
    scale: Scale
    higher_is_better: bool
    max_harm: float


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("satisfaction", Scale.SHARE, higher_is_better=True, max_harm=0.02),
        Metric("completion", Scale.SHARE, higher_is_better=True, max_harm=0.02),
        Metric("schema_validity", Scale.SHARE, higher_is_better=True, max_harm=0.02),
        Metric("block_rate", Scale.SHARE, higher_is_better=False, max_harm=0.02),
        Metric("refusals", Scale.SHARE, higher_is_better=False, max_harm=0.02),
        Metric("errors", Scale.SHARE, higher_is_better=False, max_harm=0.02),
        Metric("first_token_seconds", Scale.TAIL, higher_is_better=False, max_harm=0.05),
        Metric("total_seconds", Scale.TAIL, higher_is_better=False, max_harm=0.05),
        Metric("cost", Scale.AMOUNT, higher_is_better=False, max_harm=0.1),
        Metric("length", Scale.AMOUNT, higher_is_better=False, max_harm=0.25),
    )
}

CALIBRATED_BY = 100
"""Values of the base by which the ruler of an amount or a tail is made."""
TAIL = 0.95
CAP = 3.0
"""Over the base's 95 % quantile: where amounts are cut off."""


class Ruler:
    """From values to numbers from 0 to 1, by the first values of the base.

    The ruler never changes once it is made, and what made it is not measured with it: otherwise an
    arm could move it.
    """

    def __init__(self, scale: Scale, quantile: float | None = None) -> None:
        self._scale = scale
        self._first: list[float] = []
        self.quantile = quantile
        """95 % quantile of the base's first values; None until they are known."""

    @property
    def is_ready(self) -> bool:
        """Whether it measures."""
        return self._scale is Scale.SHARE or self.quantile is not None

    def calibrate(self, value: float) -> None:
        """Take one of the base's first values."""
        self._first.append(value)
        if len(self._first) == CALIBRATED_BY:
            self.quantile = sorted(self._first)[int(TAIL * CALIBRATED_BY)]
            self._first.clear()

    def measure(self, value: float) -> float:
        """The number, from 0 to 1."""
        if self._scale is Scale.SHARE:
            return min(1.0, max(0.0, value))
        assert self.quantile is not None
        if self._scale is Scale.TAIL:
            return float(value > self.quantile)
        return min(1.0, max(0.0, value) / (CAP * self.quantile)) if self.quantile > 0 else 0.0
