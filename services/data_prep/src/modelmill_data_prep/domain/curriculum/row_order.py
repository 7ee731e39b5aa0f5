"""From difficulties to the order of an epoch, which is one explicit permutation."""

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
    """The order of the first epoch.

    "staged": the easy third, then the medium, then the hard one; shuffled within each. Every epoch
    goes the same way. "competence": see `_by_competence`; after the first epoch the learner is
    competent for every row, so later ones are shuffled by the trainer.

    Args:
        difficulties: Of each row of train, from 0 to 1.
        keys: Of each row something that stays the same when other rows come or go, as its line;
            decides with the seed among rows that are alike.
        plan: Its order is not "none".
    """
    chance = _chances(keys, seed)
    # Hardest last; of rows that are as hard, chance decides, and at last their place.
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
    """A number for each key that looks random, other ones for another seed."""
    salt = mixed(np.array([seed & (1 << 64) - 1], np.uint64))
    return mixed(mixed(keys.astype(np.uint64) + np.uint64(1)) ^ salt)


def _by_competence(by_difficulty: Int64s, initial: float, seed: int) -> Int64s:
    """Every row once, each drawn among the easiest rows that are left.

    Before draw t of n the learner is competent for a share of sqrt(t/n (1 - c^2) + c^2) of the
    rows, c the initial one (Platanios et al., "Competence-based Curriculum Learning", 2019,
    eq. 7). They draw with replacement; here a row that was drawn is gone, so that an epoch holds
    each row once. As sqrt(x) >= x there always is a row to draw.
    """
    count = len(by_difficulty)
    draws = np.arange(count)
    share = np.sqrt(draws / max(count, 1) * (1 - initial**2) + initial**2)
    known = np.clip(np.ceil(share * count).astype(np.int64), draws + 1, count)
    random = _chances(draws, seed ^ 0x5DEECE66D)
    order = np.empty(count, np.int64)
    begun = 0
    # Eight bytes a row each, where lists have an object for every number; as quick to go through.
    rows, limits = (array("q", one.tobytes()) for one in (by_difficulty.astype(np.int64), known))
    numbers, pool = array("Q", random.tobytes()), array("q")
    for draw in range(count):
        if begun < limits[draw]:
            pool += rows[begun : limits[draw]]
            begun = limits[draw]
        # The upper bits of the product: even over the pool, without a division.
        place = numbers[draw] * len(pool) >> 64
        order[draw] = pool[place]
        pool[place] = pool[-1]
        pool.pop()
    return order
