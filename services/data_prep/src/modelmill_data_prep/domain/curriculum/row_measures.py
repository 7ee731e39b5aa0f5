"""What is measured of rows, block after block, until all are known and can be ranked."""

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
    """Of each value the share of values that are below it, half of the equal ones counted too.

    From 0 to 1; 0.5 where all are equal. A value that is no number counts as the median.

    Each measure becomes a rank among all rows, from 0 to 1, so that a row is as hard by length as
    many rows are shorter, whatever the unit; ranks are averaged by the plan's weights. Ranks are
    what competence-based learning needs (Platanios et al. 2019), and no single odd row moves the
    others.
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
    """Ranks among the rows of the same formula: grades of Chinese and of English do not compare.

    Of Chinese the mean of the ranks of its two measures.
    """
    chinese, grade = readability.chinese, readability.grade
    sentence_units, hardness = readability.sentence_units, readability.hardness
    ranked = np.zeros(len(chinese))
    ranked[chinese] = (ranks(sentence_units[chinese]) + ranks(hardness[chinese])) / 2
    ranked[~chinese] = ranks(grade[~chinese])
    return ranked


def difficulties(factor_ranks: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Of each row, from 0 to 1, the mean of its ranks by their weights.

    Args:
        factor_ranks: For each factor that counts the rank of each row.
        weights: Of each factor that counts.

    Raises:
        InvalidInputError: A factor that counts was not measured.
    """
    missing = sorted(weights.keys() - factor_ranks.keys())
    if missing:
        raise InvalidInputError([f"curriculum: {name} was not measured" for name in missing])
    total = sum(weights.values())
    # In the order of their names: a sum of floats depends on its order.
    parts = [factor_ranks[name] * (weights[name] / total) for name in sorted(weights)]
    summed: Floats = np.add.reduce(parts)
    return summed


@dataclass(frozen=True, eq=False)
class RowMeasures:
    """Of each row; 33 bytes a row."""

    length: Floats
    """Words and Chinese characters."""
    rarity: Floats
    """Bits of a mean unit."""
    chinese: Bools
    sentence_units: Floats
    hardness: Floats
    """As of `Readability`."""

    @classmethod
    def of(cls, texts: Sequence[str], sketch: FrequencySketch) -> "RowMeasures":
        """Measure the texts of a block.

        Args:
            texts: Of each row what is said in it (`row_batch.spoken_texts`).
            sketch: Of the whole corpus, counted in an earlier pass.
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
        """The measures of all blocks, in their order; at least one."""
        return cls(
            *(
                np.concatenate([getattr(block, field.name) for block in blocks])
                for field in fields(cls)
            )
        )

    def difficulties(self, plan: CurriculumPlan, losses: Floats | None = None) -> Floats:
        """Of each row how hard it is among these, from 0 to 1.

        Args:
            losses: Of each row that of the plan's model; needed when it counts.

        Raises:
            InvalidInputError: The loss counts and is not given.
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
