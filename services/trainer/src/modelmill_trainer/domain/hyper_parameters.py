"""Hyper-parameters of a training run: defaults, bounds and valid combinations."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.domain.json_value import JsonValue
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
TEACHER_TEXT_TOKENS = 128
"""Longest text that a teacher writes."""
AUTO_FIELDS = ("learning_rate", "epochs", "batch_size")
"""Fields whose value 0 means "auto" (`domain/auto_choices.py`)."""


@dataclass(frozen=True, kw_only=True)
class HyperParameters(JsonValue):
    """Hyper-parameters; a 0 in one of `AUTO_FIELDS` is resolved once the dataset is read."""

    method: str
    learning_rate: float = 0.0
    """Peak learning rate."""
    epochs: float = 0.0
    """Passes over the train split."""
    batch_size: int = 0
    """Rows per optimizer step."""
    learning_rate_multiplier: float = 1.0
    """Factor on the automatic learning rate."""
    search_learning_rate: bool = False
    """Whether short trial runs around the automatic rate choose the learning rate."""
    preset: str = ""
    """Source of values that are not given: GUIDE, or automatic if empty."""
    gradient_accumulation_steps: int = 1
    """Micro-batches that a step's rows are divided into."""
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises."""
    max_steps: int = 0
    """Steps at most; 0 for as many as the epochs need."""
    max_tokens_per_row: int = 0
    """Longer rows are rejected; 0 for the model's context."""
    lora_rank: int = 16
    lora_alpha: float = 0.0
    """LoRA alpha; `decide` sets it to twice the rank by default."""
    lora_dropout: float = 0.0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    checkpoint_steps: int = 0
    """Steps between checkpoints; 0 to derive the interval from the cost of a checkpoint."""
    seed: int = 1
    objective: str = ANSWERS
    virtual_tokens: int = 20
    """Length of the soft prompt, for methods prefix and prompt."""
    preference_beta: float = 0.1
    """Beta of DPO and KTO: penalty for moving away from the base model."""
    distillation_temperature: float = 2.0
    """Softmax temperature of teacher and student."""
    distillation_weight: float = 0.5
    """Weight of the teacher's divergence in the loss."""
    teacher_texts: int = 0
    """Texts that the teacher writes from nothing, learned beside the rows; 0 for none."""
    target_modules: tuple[str, ...] = ()
    """Linear layers that get LoRA; empty for all but routers and the output head."""
    target_parameters: tuple[str, ...] = ()
    """Stacked expert parameters that get LoRA."""
    last_turn_only: bool = False
    """Whether the loss covers only the last assistant message of a conversation."""

    @property
    def auto_fields(self) -> tuple[str, ...]:
        """Fields that are still automatic."""
        return tuple(name for name in AUTO_FIELDS if not getattr(self, name))

    @property
    def soft_prompt_tokens(self) -> int:
        """Context tokens that the soft prompt takes; 0 for methods without one."""
        return self.virtual_tokens if self.method in VIRTUAL else 0

    def as_shown(self) -> dict[str, Any]:
        """As `as_json`, with "auto" for fields that are still automatic."""
        return self.as_json() | dict.fromkeys(self.auto_fields, "auto")


@dataclass(frozen=True)
class ValueRange:
    """A numeric interval with open or closed ends."""

    low: float
    high: float
    low_included: bool = True
    high_included: bool = True

    def holds(self, value: float) -> bool:
        """Whether `value` is finite and within the interval."""
        above = value >= self.low if self.low_included else value > self.low
        below = value <= self.high if self.high_included else value < self.high
        return isfinite(value) and above and below

    def __str__(self) -> str:
        low = f"at least {self.low:g}" if self.low_included else f"above {self.low:g}"
        high = f"at most {self.high:g}" if self.high_included else f"below {self.high:g}"
        return f"{low} and {high}"


BOUNDS: dict[str, ValueRange] = {
    "learning_rate": ValueRange(0, 1, low_included=False),
    "epochs": ValueRange(0, 100, low_included=False),
    "batch_size": ValueRange(1, 4096),
    "learning_rate_multiplier": ValueRange(0, 100, low_included=False),
    "gradient_accumulation_steps": ValueRange(1, 4096),
    "warmup_ratio": ValueRange(0, 1, high_included=False),
    "max_steps": ValueRange(0, 1_000_000),
    "max_tokens_per_row": ValueRange(0, 1_000_000),
    "lora_rank": ValueRange(1, 256),
    "lora_alpha": ValueRange(0, 4096, low_included=False),
    "lora_dropout": ValueRange(0, 1, high_included=False),
    "weight_decay": ValueRange(0, 1),
    "max_grad_norm": ValueRange(0, 1000, low_included=False),
    "checkpoint_steps": ValueRange(0, 100_000),
    "seed": ValueRange(0, 2**63 - 1),
    "virtual_tokens": ValueRange(1, 1024),
    "preference_beta": ValueRange(0, 100, low_included=False),
    "distillation_temperature": ValueRange(0, 100, low_included=False),
    "distillation_weight": ValueRange(0, 1, low_included=False),
    "teacher_texts": ValueRange(0, 100_000),
}


def decide(
    method: str,
    given: Mapping[str, Any],
    *,
    objective: str = ANSWERS,
    context_tokens: int | None = None,
) -> HyperParameters:
    """Fill in defaults, except for automatic fields, and validate.

    Args:
        method: One of METHODS.
        given: Values by field name; 0, empty or absent means default or automatic.
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
    """Invalid combinations with automatic values."""
    errors = []
    preset = chosen.get("preset", "")
    if preset not in ("", GUIDE):
        errors.append(f"preset must be {GUIDE!r} or empty, got {preset[:80]!r}")
    if chosen.get("search_learning_rate") and ("learning_rate" in chosen or preset):
        errors.append(
            "search_learning_rate chooses the learning rate. Leave out learning_rate and preset, "
            "or search_learning_rate"
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
        errors.append(
            "lora_dropout does not work with target_parameters: stacked experts have no layer "
            "input to drop. Leave one of them out"
        )
    if decided.objective == KTO and decided.batch_size == 1:
        errors.append("objective kto compares rows of a batch. Set batch_size to at least 2")
    return errors


def _beyond_context(decided: HyperParameters, context_tokens: int | None) -> list[str]:
    room = (context_tokens or 0) - decided.soft_prompt_tokens
    if not context_tokens or (decided.max_tokens_per_row <= room and room > 1):
        return []
    beside = (
        f" and virtual_tokens ({decided.soft_prompt_tokens})" if decided.soft_prompt_tokens else ""
    )
    return [
        f"max_tokens_per_row ({decided.max_tokens_per_row}){beside} is more than the base model's "
        f"context of {context_tokens} tokens"
    ]
