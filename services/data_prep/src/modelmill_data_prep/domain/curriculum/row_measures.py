"""Difficulty factors of rows, collected per block and ranked once all rows are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.curriculum.curriculum_plan import (
    LENGTH,
    LOSS,
    RARITY,
    READABILITY,
    CurriculumPlan,
)
from modelmill_data_prep.domain.curriculum.frequency_sketch import FrequencySketch
from modelmill_data_prep.domain.curriculum.readability import Readability, readability_of
from modelmill_data_prep.domain.curriculum.text_units import units_of

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def ranks(values: Floats) -> Floats:
    """Fractional rank of each value, from 0 to 1; ties get their mean rank.

    A non-finite value gets 0.5, the median.
    """
    ranked = np.full(len(values), 0.5)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2:
        return ranked
    given = values[known]
    order = np.sort(given)
    below = np.searchsorted(order, given, side="left")
    up_to = np.searchsorted(order, given, side="right")
    ranked[known] = (below + up_to - 1) / (2 * (len(given) - 1))
    return ranked


def readability_ranks(readability: Readability) -> Floats:
    """Readability ranks, separately for Chinese and other rows, whose formulas are not comparable.

    For Chinese it is the mean rank of two measures.
    """
    chinese, grade = readability.chinese, readability.grade
    sentence_units, hardness = readability.sentence_units, readability.hardness
    ranked = np.zeros(len(chinese))
    ranked[chinese] = (ranks(sentence_units[chinese]) + ranks(hardness[chinese])) / 2
    ranked[~chinese] = ranks(grade[~chinese])
    return ranked


def difficulties(factor_ranks: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Weighted mean rank of each row, from 0 to 1.

    Args:
        factor_ranks: Ranks of all rows, by factor.
        weights: Weight by factor.

    Raises:
        InvalidInputError: A weighted factor was not measured.
    """
    missing = sorted(weights.keys() - factor_ranks.keys())
    if missing:
        raise InvalidInputError([f"curriculum: {name} was not measured" for name in missing])
    total = sum(weights.values())
    # Sorted, because a sum of floats depends on its order.
    parts = [factor_ranks[name] * (weights[name] / total) for name in sorted(weights)]
    summed: Floats = np.add.reduce(parts)
    return summed


@dataclass(frozen=True, eq=False)
class RowMeasures:
    """Factors per row, in 33 bytes."""

    length: Floats
    """Words and Chinese characters."""
    rarity: Floats
    """Mean information of a unit in bits."""
    chinese: Bools
    sentence_units: Floats
    hardness: Floats
    """As in `Readability`."""

    @classmethod
    def of(cls, texts: Sequence[str], sketch: FrequencySketch) -> "RowMeasures":
        """Measure the texts of a block.

        Args:
            texts: Text of each row (`row_batch.texts_without_system`).
            sketch: Frequencies in the whole corpus, from an earlier pass.
        """
        units = units_of(texts)
        readability = readability_of(units)
        return cls(
            units.units_of_text.astype(np.float64),
            sketch.rarity_of(units),
            readability.chinese,
            readability.sentence_units,
            readability.hardness,
        )

    @classmethod
    def joined(cls, blocks: Sequence["RowMeasures"]) -> "RowMeasures":
        """Concatenate blocks, in order; at least one."""
        return cls(
            *(
                np.concatenate([getattr(block, field.name) for block in blocks])
                for field in fields(cls)
            )
        )

    def difficulties(self, plan: CurriculumPlan, losses: Floats | None = None) -> Floats:
        """Difficulty of each row among these, from 0 to 1.

        Args:
            losses: Loss of each row by the plan's model; required if loss is a factor.

        Raises:
            InvalidInputError: Loss is a factor and not given.
        """
        readability = Readability(self.chinese, self.sentence_units, self.hardness)
        found = {
            LENGTH: ranks(self.length),
            RARITY: ranks(self.rarity),
            READABILITY: readability_ranks(readability),
        }
        if losses is not None:
            found[LOSS] = ranks(losses)
        return difficulties(found, plan.weights)
