"""Training order of an epoch by difficulty, as an explicit permutation."""

from array import array
from typing import Any

import numpy as np
from modelmill_token_files.training_order import TrainingOrder

from modelmill_data_prep.domain.curriculum.curriculum_plan import COMPETENCE, CurriculumPlan
from modelmill_data_prep.domain.curriculum.text_units import Int64s, UInt64s
from modelmill_data_prep.domain.mixing import mixed

TIERS = 3
Floats = np.ndarray[Any, np.dtype[np.float64]]


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
