"""Difficulty of rows, and the training order of an epoch that follows from it.

Factors are collected per block and ranked once all rows are known. The order is an explicit
permutation.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from modelmill_service_kit.errors import InvalidInputError
from modelmill_token_files.token_file import TrainingOrder

from modelmill_data_prep.domain.curriculum.curriculum_plan import (
    COMPETENCE,
    LENGTH,
    LOSS,
    RARITY,
    READABILITY,
    CurriculumPlan,
)
from modelmill_data_prep.domain.curriculum.readability import Readability, readability_of
from modelmill_data_prep.domain.curriculum.text_units import (
    FrequencySketch,
    Int64s,
    UInt64s,
    units_of,
)
from modelmill_data_prep.domain.mixing import mixed

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


TIERS = 3


def order_rows(
    difficulties: Floats, keys: Int64s, plan: CurriculumPlan, seed: int
) -> TrainingOrder:
    """Order of the first epoch.

    "staged": easy, medium and hard third, shuffled within each; every epoch repeats it.
    "competence": see `_by_competence`; the trainer shuffles later epochs, because the model is then
    competent for every row.


    Args:
        difficulties: Difficulty of each train row, from 0 to 1.
        keys: Stable key of each row, such as its line; breaks ties together with the seed.
        plan: Its order is not "none".
    """
    chance = _chances(keys, seed)
    # Hardest last; ties are broken by a seeded hash, then by position.
    by_difficulty = np.lexsort((np.arange(len(keys)), chance, difficulties))
    tiers = np.empty(len(keys), np.int8)
    for tier, places in enumerate(np.array_split(by_difficulty, TIERS)):
        tiers[places] = tier
    if plan.order == COMPETENCE:
        order = _by_competence(by_difficulty, plan.initial_competence, seed)
    else:
        order = np.lexsort((np.arange(len(keys)), chance, tiers))
    return TrainingOrder(
        plan.order,
        plan.order != COMPETENCE,
        order.astype(np.int64),
        difficulties[order].astype(np.float32),
        tiers[order],
    )


def _chances(keys: Int64s, seed: int) -> UInt64s:
    """Seeded pseudo-random number per key."""
    salt = mixed(np.array([seed & (1 << 64) - 1], np.uint64))
    return mixed(mixed(keys.astype(np.uint64) + np.uint64(1)) ^ salt)


def _by_competence(by_difficulty: Int64s, initial: float, seed: int) -> Int64s:
    """Permutation in which each row is drawn from the remaining rows within competence.

    At draw t of n the competence is a share of sqrt(t/n (1 - c^2) + c^2) of the rows, with initial
    competence c (Platanios et al., "Competence-based Curriculum Learning", 2019, eq. 7). They draw
    with replacement; here without, so that an epoch has each row once. As sqrt(x) >= x, a row is
    always available.
    """
    count = len(by_difficulty)
    draws = np.arange(count)
    share = np.sqrt(draws / max(count, 1) * (1 - initial**2) + initial**2)
    known = np.clip(np.ceil(share * count).astype(np.int64), draws + 1, count)
    random = _chances(draws, seed ^ 0x5DEECE66D)
    order = np.empty(count, np.int64)
    begun = 0
    # Arrays take eight bytes per row, where lists hold an object per number.
    rows, limits = (array("q", one.tobytes()) for one in (by_difficulty.astype(np.int64), known))
    numbers, pool = array("Q", random.tobytes()), array("q")
    for draw in range(count):
        if begun < limits[draw]:
            pool += rows[begun : limits[draw]]
            begun = limits[draw]
        # Multiply-shift: uniform over the pool without a division.
        place = numbers[draw] * len(pool) >> 64
        order[draw] = pool[place]
        pool[place] = pool[-1]
        pool.pop()
    return order
