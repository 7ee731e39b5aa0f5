"""How much a training reads: epochs and rows of a step, as given or as the trainer chooses them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from modelmill_recipes.recipe import Recipe

FEWEST_ROWS, MOST_ROWS, STEPS_OF_AN_EPOCH, MOST_TOKENS = 4, 32, 32, 16_384
STEPS, MOST_EPOCHS = 100, 5
GUIDE_EPOCHS, GUIDE_BATCH_SIZE = 1.0, 32
"""The trainer's rule; a test compares both."""
TRIALS, TRIAL_SHARE, FEWEST_TRIAL_STEPS, MOST_TRIAL_STEPS = 3, 0.25, 10, 60
"""Of a search of the learning rate."""


@dataclass(frozen=True)
class TrainingSize:
    """Rows that a training reads, over all epochs."""

    row_visits: int
    trial_visits: int
    """Before it, to search the learning rate."""


def hyper_parameters(recipe: Recipe) -> Mapping[str, Any]:
    """Those that are given, wherever they stand."""
    method = recipe.training.get("method") or {}
    own = (method.get(str(method.get("type"))) or {}).get("hyperparameters") or {}
    given = {**(recipe.training.get("hyperparameters") or {}), **own}
    return {name: value for name, value in given.items() if value not in (None, "auto")}


def training_size(given: Mapping[str, Any], rows: int, row_tokens: float) -> TrainingSize:
    """Of `rows` rows of so many tokens on average.

    Args:
        given: Hyper-parameters as the recipe has them.
    """
    is_guide = given.get("preset") == "guide"
    batch = int(given.get("batch_size") or (GUIDE_BATCH_SIZE if is_guide else 0))
    batch = batch or _batch_size(rows, row_tokens, int(given.get("gradient_accumulation_steps", 1)))
    epochs = float(given.get("epochs") or given.get("n_epochs") or (GUIDE_EPOCHS * is_guide))
    epochs = epochs or min(ceil(STEPS * batch / max(rows, 1)), MOST_EPOCHS)
    visits = ceil(epochs * rows)
    if most := given.get("max_steps"):
        visits = min(visits, int(most) * batch)
    steps = ceil(visits / batch)
    trial = min(max(ceil(TRIAL_SHARE * steps), FEWEST_TRIAL_STEPS), MOST_TRIAL_STEPS, steps)
    searches = given.get("learning_rate") == "search" or given.get("search_learning_rate")
    return TrainingSize(visits, TRIALS * trial * batch if searches else 0)


def _batch_size(rows: int, row_tokens: float, parts: int) -> int:
    batch = FEWEST_ROWS
    while (
        batch < MOST_ROWS
        and 2 * batch * STEPS_OF_AN_EPOCH <= rows
        and 2 * batch * ceil(row_tokens) <= MOST_TOKENS
    ):
        batch *= 2
    return parts * ceil(batch / parts)
