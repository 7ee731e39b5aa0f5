"""Validated curriculum options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

NONE, STAGED, COMPETENCE = "none", "staged", "competence"
ORDERS = (NONE, STAGED, COMPETENCE)
LENGTH, RARITY, READABILITY, LOSS = "length", "rarity", "readability", "loss"
FACTORS = (LENGTH, RARITY, READABILITY, LOSS)
DEFAULT_WEIGHTS = {LENGTH: 1.0, RARITY: 1.0, READABILITY: 1.0}
DEFAULT_INITIAL_COMPETENCE = 0.1
MAX_WEIGHT = 1e6
"""Only ratios matter; the bound prevents an overflow of the sum."""
MAX_MODEL_CHARACTERS = 200


@dataclass(frozen=True)
class CurriculumPlan:
    """Validated options with defaults."""

    order: str = NONE
    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    """Positive weight per factor."""
    loss_model: str = ""
    """Model or alias whose loss is used; empty if loss is not a factor."""
    initial_competence: float = DEFAULT_INITIAL_COMPETENCE
    """For order "competence": share of the easiest rows at the start."""


def plan_curriculum(spec: Mapping[str, Any]) -> CurriculumPlan:
    """Validate a `modelmill.data_prep.v1.CurriculumSpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    order = str(spec.get("order", "")) or NONE
    given = {str(name): float(weight) for name, weight in spec.get("weights", {}).items()}
    loss_model = str(spec.get("loss_model", ""))
    initial = float(spec.get("initial_competence", 0))
    errors = []
    if order not in ORDERS:
        errors.append(f"curriculum: order must be one of {', '.join(ORDERS)}, got {order!r}")
    if order != COMPETENCE and initial:
        errors.append(f"curriculum: initial_competence means nothing to order {order!r}")
    if not 0 <= initial <= 1:
        errors.append(f"curriculum: initial_competence must be between 0 and 1, got {initial:g}")
    errors += _wrong_weights(given)
    weights = {name: weight for name, weight in given.items() if weight} or DEFAULT_WEIGHTS
    errors += _wrong_model(loss_model, counts=LOSS in weights)
    if order == NONE and (given or loss_model):
        errors.append("curriculum: weights and loss_model mean nothing without an order")
    if errors:
        raise InvalidInputError(errors)
    return CurriculumPlan(order, dict(weights), loss_model, initial or DEFAULT_INITIAL_COMPETENCE)


def _wrong_weights(given: Mapping[str, float]) -> list[str]:
    listed = ", ".join(FACTORS)
    errors = [
        f"curriculum: unknown weight {name[:64]!r}. Use {listed}"
        for name in sorted(given)
        if name not in FACTORS
    ]
    errors += [
        f"curriculum: weight {name} must be between 0 and {MAX_WEIGHT:g}, got {weight:g}"
        for name, weight in sorted(given.items())
        if name in FACTORS and not 0 <= weight <= MAX_WEIGHT
    ]
    if given and not any(given.values()):
        errors.append("curriculum: one weight at least must be above 0")
    return errors


def _wrong_model(loss_model: str, *, counts: bool) -> list[str]:
    errors = []
    if len(loss_model) > MAX_MODEL_CHARACTERS or not loss_model.isprintable():
        errors.append(
            f"curriculum: loss_model must be at most {MAX_MODEL_CHARACTERS} printable characters"
        )
    if counts and not loss_model:
        errors.append("curriculum: weight loss needs a loss_model")
    if loss_model and not counts:
        errors.append("curriculum: loss_model means nothing without a weight of loss")
    return errors
