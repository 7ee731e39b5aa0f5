"""The choices of a training run: their defaults, what they may be, and what goes with what."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

from service_kit.errors import InvalidInputError

LORA = "lora"
FULL = "full"
METHODS = (LORA, FULL)
LEARNING_RATES = {LORA: 3e-5, FULL: 1e-5}
LORA_FIELDS = ("lora_rank", "lora_alpha", "lora_dropout")


@dataclass(frozen=True, kw_only=True)
class HyperParameters:
    """A run, decided to the last choice. Defaults are the guide's; a 0 of the caller means them."""

    method: str
    learning_rate: float
    """Peak."""
    epochs: float = 1.0
    """Passes over the train split."""
    batch_size: int = 32
    """Rows per optimizer step."""
    gradient_accumulation_steps: int = 4
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

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "HyperParameters":
        """Read what `as_json` wrote."""
        return cls(**document)


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
}


def decide(
    method: str, given: Mapping[str, float], *, context_tokens: int | None = None
) -> HyperParameters:
    """Fill in defaults and check every choice.

    Args:
        method: One of METHODS.
        given: Choices by name; 0 or absent takes the default.
        context_tokens: The base model's limit; None when the base is not known.

    Raises:
        InvalidInputError: lists everything that is wrong.
    """
    chosen = {name: value for name, value in given.items() if value != 0}
    errors = [] if method in METHODS else [f"method must be one of {', '.join(METHODS)}"]
    chosen.setdefault("learning_rate", LEARNING_RATES.get(method, LEARNING_RATES[LORA]))
    decided = HyperParameters(method=method, **chosen)  # type: ignore[arg-type]
    if not decided.lora_alpha:
        decided = HyperParameters(**asdict(decided) | {"lora_alpha": 2.0 * decided.lora_rank})
    errors += _outside_bounds(decided, chosen)
    errors += _at_odds(decided, given, context_tokens)
    if errors:
        raise InvalidInputError(errors)
    return decided


def _outside_bounds(decided: HyperParameters, chosen: Mapping[str, float]) -> list[str]:
    return [
        f"{name} must be {BOUNDS[name]}, got {chosen[name]:g}"
        for name in (field.name for field in fields(decided))
        if name in chosen and not BOUNDS[name].holds(chosen[name])
    ]


def _at_odds(
    decided: HyperParameters, given: Mapping[str, float], context_tokens: int | None
) -> list[str]:
    errors = []
    steps = decided.gradient_accumulation_steps
    if decided.batch_size % steps:
        errors.append(
            f"batch_size ({decided.batch_size}) must be divisible by "
            f"gradient_accumulation_steps ({steps})"
        )
    if decided.method == FULL:
        errors += [
            f"{name} has no meaning for method full" for name in LORA_FIELDS if given.get(name)
        ]
    if context_tokens and decided.max_tokens_per_row > context_tokens:
        errors.append(
            f"max_tokens_per_row ({decided.max_tokens_per_row}) is more than the base model's "
            f"context of {context_tokens} tokens"
        )
    return errors
