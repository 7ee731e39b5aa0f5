"""The choices of a training run: their defaults, what they may be, and what goes with what."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.domain.methods import (
    ANSWERS,
    KTO,
    VIRTUAL,
    errors_of_combination,
    errors_of_fields,
    guide_rate,
)
from modelmill_trainer.domain.methods import FULL as FULL
from modelmill_trainer.domain.methods import LORA as LORA

LISTS = ("target_modules", "target_parameters")
MAX_NAMES = 32
MAX_NAME_CHARACTERS = 128
GUIDE = "guide"
GUIDE_EPOCHS, GUIDE_BATCH_SIZE = 1.0, 32
OPEN = ("learning_rate", "epochs", "batch_size")
"""Choices that may be left to the rule."""


@dataclass(frozen=True, kw_only=True)
class HyperParameters:
    """A run. What is 0 of the first three is left open until the rows are known
    (`domain/automatic.py`)."""

    method: str
    learning_rate: float = 0.0
    """Peak."""
    epochs: float = 0.0
    """Passes over the train split."""
    batch_size: int = 0
    """Rows per optimizer step."""
    learning_rate_multiplier: float = 1.0
    """Of the rate that is left open."""
    search_learning_rate: bool = False
    """Whether short runs at rates around that of the rule decide about it."""
    preset: str = ""
    """Where values come from that are not given: GUIDE, or by the rule where it is empty."""
    gradient_accumulation_steps: int = 1
    """Micro-batches that a step's rows are divided into."""
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises."""
    max_steps: int = 0
    """Steps at most; 0 for as many as the epochs need."""
    max_tokens_per_row: int = 0
    """Longer rows are refused; 0 for the model's context."""
    lora_rank: int = 16
    lora_alpha: float = 0.0
    """Scale of the adapters; set to twice the rank by `decide`."""
    lora_dropout: float = 0.0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    checkpoint_steps: int = 0
    """Steps between checkpoints; 0 to choose by what one costs."""
    seed: int = 1
    objective: str = ANSWERS
    virtual_tokens: int = 20
    """Learned tokens before every row, of methods that have some."""
    preference_beta: float = 0.1
    """What a step away from the base costs, of objectives that compare with it."""
    distillation_temperature: float = 2.0
    """Divides the logits of teacher and student."""
    distillation_weight: float = 0.5
    """Share of the teacher in the loss."""
    target_modules: tuple[str, ...] = ()
    """Linear layers with an adapter; empty for all that are known."""
    target_parameters: tuple[str, ...] = ()
    """Stacked parameters with an adapter."""
    last_turn_only: bool = False
    """Whether only the last answer of a conversation is learned."""

    @property
    def left_open(self) -> tuple[str, ...]:
        """What is not decided yet."""
        return tuple(name for name in OPEN if not getattr(self, name))

    @property
    def beginning_tokens(self) -> int:
        """Tokens of the context that stand before every row."""
        return self.virtual_tokens if self.method in VIRTUAL else 0

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        return asdict(self)

    def as_shown(self) -> dict[str, Any]:
        """The same for people, who read "auto" where a choice is left open."""
        return self.as_json() | dict.fromkeys(self.left_open, "auto")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "HyperParameters":
        """Read what `as_json` wrote."""
        lists = {name: tuple(document[name]) for name in LISTS if name in document}
        return cls(**dict(document) | lists)


@dataclass(frozen=True)
class Bounds:
    """A range of numbers."""

    low: float
    high: float
    low_included: bool = True
    high_included: bool = True

    def holds(self, value: float) -> bool:
        """Whether `value` is a number within the range."""
        above = value >= self.low if self.low_included else value > self.low
        below = value <= self.high if self.high_included else value < self.high
        return isfinite(value) and above and below

    def __str__(self) -> str:
        low = f"at least {self.low:g}" if self.low_included else f"above {self.low:g}"
        high = f"at most {self.high:g}" if self.high_included else f"below {self.high:g}"
        return f"{low} and {high}"


BOUNDS: dict[str, Bounds] = {
    "learning_rate": Bounds(0, 1, low_included=False),
    "epochs": Bounds(0, 100, low_included=False),
    "batch_size": Bounds(1, 4096),
    "learning_rate_multiplier": Bounds(0, 100, low_included=False),
    "gradient_accumulation_steps": Bounds(1, 4096),
    "warmup_ratio": Bounds(0, 1, high_included=False),
    "max_steps": Bounds(0, 1_000_000),
    "max_tokens_per_row": Bounds(0, 1_000_000),
    "lora_rank": Bounds(1, 256),
    "lora_alpha": Bounds(0, 4096, low_included=False),
    "lora_dropout": Bounds(0, 1, high_included=False),
    "weight_decay": Bounds(0, 1),
    "max_grad_norm": Bounds(0, 1000, low_included=False),
    "checkpoint_steps": Bounds(0, 100_000),
    "seed": Bounds(0, 2**63 - 1),
    "virtual_tokens": Bounds(1, 1024),
    "preference_beta": Bounds(0, 100, low_included=False),
    "distillation_temperature": Bounds(0, 100, low_included=False),
    "distillation_weight": Bounds(0, 1, low_included=False),
}


def decide(
    method: str,
    given: Mapping[str, Any],
    *,
    objective: str = ANSWERS,
    context_tokens: int | None = None,
) -> HyperParameters:
    """Fill in defaults, but for what is left open, and check every choice.

    Args:
        method: One of METHODS.
        given: Choices by name; 0, empty or absent takes the default, or is left open.
        objective: One of OBJECTIVES.
        context_tokens: The base model's limit; None when the base is not known.

    Raises:
        InvalidInputError: lists everything that is wrong.
    """
    chosen = {name: value for name, value in given.items() if value}
    errors = errors_of_combination(method, objective)
    errors += _errors_of_open(chosen)
    if chosen.get("preset") == GUIDE:
        guide = {
            "learning_rate": guide_rate(method, objective),
            "epochs": GUIDE_EPOCHS,
            "batch_size": GUIDE_BATCH_SIZE,
        }
        chosen = guide | chosen
    decided = HyperParameters(method=method, objective=objective, **chosen)
    if not decided.lora_alpha:
        decided = replace(decided, lora_alpha=2.0 * decided.lora_rank)
    errors += _outside_bounds(decided, chosen)
    if not errors_of_combination(method, objective):
        errors += errors_of_fields({name for name in chosen if given.get(name)}, method, objective)
    errors += _at_odds(decided)
    errors += _beyond_context(decided, context_tokens)
    if errors:
        raise InvalidInputError(errors)
    return decided


def _errors_of_open(chosen: Mapping[str, Any]) -> list[str]:
    """What does not go together of the choices that a rule makes."""
    errors = []
    preset = chosen.get("preset", "")
    if preset not in ("", GUIDE):
        errors.append(f"preset must be {GUIDE!r} or empty, got {preset[:80]!r}")
    if chosen.get("search_learning_rate") and ("learning_rate" in chosen or preset):
        errors.append(
            "search_learning_rate looks for a rate. Leave out learning_rate and preset, or the "
            "search"
        )
    if chosen.get("learning_rate_multiplier", 1) != 1 and ("learning_rate" in chosen or preset):
        errors.append(
            "learning_rate_multiplier multiplies the automatic rate. Leave out learning_rate and "
            "preset, or the multiplier"
        )
    return errors


def _outside_bounds(decided: HyperParameters, chosen: Mapping[str, Any]) -> list[str]:
    errors = [
        f"{name} must be {BOUNDS[name]}, got {chosen[name]:g}"
        for name in (field.name for field in fields(decided))
        if name in chosen and name in BOUNDS and not BOUNDS[name].holds(chosen[name])
    ]
    for name in LISTS:
        names = getattr(decided, name)
        if len(names) > MAX_NAMES or any(not 0 < len(one) <= MAX_NAME_CHARACTERS for one in names):
            errors.append(
                f"{name} must be at most {MAX_NAMES} names of at most {MAX_NAME_CHARACTERS} "
                "characters"
            )
    return errors


def _at_odds(decided: HyperParameters) -> list[str]:
    errors = []
    steps = decided.gradient_accumulation_steps
    if decided.batch_size % steps:
        errors.append(
            f"batch_size ({decided.batch_size}) must be divisible by "
            f"gradient_accumulation_steps ({steps})"
        )
    if decided.target_parameters and decided.lora_dropout:
        errors.append("lora_dropout does not go with target_parameters, whose input is no layer's")
    if decided.objective == KTO and decided.batch_size == 1:
        errors.append("objective kto needs a batch_size of at least 2: rows are compared")
    return errors


def _beyond_context(decided: HyperParameters, context_tokens: int | None) -> list[str]:
    room = (context_tokens or 0) - decided.beginning_tokens
    if not context_tokens or (decided.max_tokens_per_row <= room and room > 1):
        return []
    beside = f" and virtual_tokens ({decided.beginning_tokens})" if decided.beginning_tokens else ""
    return [
        f"max_tokens_per_row ({decided.max_tokens_per_row}){beside} is more than the base model's "
        f"context of {context_tokens} tokens"
    ]
