"""Epochs, batch size and learning rate of whoever leaves them to the trainer, and why.

The rates are those of "LoRA Without Regret" (Schulman and Thinking Machines 2025): the best rate of
adapters is about ten times that of all weights, hardly depends on the rank while the scale of the
adapters is the same, and falls as the model gets wider. `tests/bench/defaults.py` measures the rule
beside fixed rates.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import DPO, FULL, KTO, LORA, PREFIX, PROMPT

RATES = {LORA: 5e-4, FULL: 5e-5}
"""Of a model of `REFERENCE_WIDTH`, adapters at `REFERENCE_ALPHA`."""
REFERENCE_WIDTH, WIDTH_POWER = 2000, 0.781
REFERENCE_ALPHA = 32
BEGINNING_RATES = {PREFIX: 1e-2, PROMPT: 1e-2}
"""What stands before every row is learned at a rate of its own, whatever the model."""
OBJECTIVE_SHARES = {DPO: 0.1, KTO: 0.1}
"""A preference says little about each token, and a model that leaves its base soon says nothing."""
HIGHEST_RATE = 1e-1

FEWEST_ROWS, MOST_ROWS = 4, 32
"""Of a step."""
STEPS_OF_AN_EPOCH = 32
"""A step has no more rows than leave so many steps to an epoch."""
MOST_TOKENS = 16_384
"""Of a step: rows that are long teach as much in smaller steps."""
STEPS, MOST_EPOCHS = 100, 5
"""Few rows are read again until the run has so many steps, but not more often than that."""


@dataclass(frozen=True)
class RunFacts:
    """What the choices depend on, beside each other."""

    rows: int
    """Of the train split."""
    tokens: int
    """Of all these rows."""
    width: int
    """Of the base's hidden states."""
    ranks: int = 1
    """Processes that a step's rows are divided among."""


@dataclass(frozen=True)
class Decision:
    """What was decided; kept in every checkpoint, so that a resumed run goes on with it."""

    chosen: Mapping[str, Any]
    """By name of the choice."""
    reasons: tuple[str, ...] = ()
    """A sentence for each."""

    def apply(self, choices: HyperParameters) -> HyperParameters:
        """The choices with nothing left open."""
        return replace(choices, **self.chosen)

    def summary(self) -> dict[str, Any]:
        """For the result of the run; nothing where nothing was left open."""
        if not self.chosen:
            return {}
        return {"chosen": dict(self.chosen), "choice_reasons": list(self.reasons)}

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Decision":
        """Read what `as_json` wrote."""
        return cls(document["chosen"], tuple(document["reasons"]))


def decide_open_choices(choices: HyperParameters, facts: RunFacts) -> Decision:
    """Decide what `choices` leaves open, and nothing else."""
    chosen: dict[str, Any] = {}
    reasons = []
    batch_size, epochs = choices.batch_size, choices.epochs
    if not batch_size:
        batch_size = _batch_size(choices, facts)
        chosen["batch_size"] = batch_size
        reasons.append(
            f"batch_size {batch_size}, because {facts.rows} rows of {_length(facts)} tokens give "
            f"{_steps(facts.rows, batch_size)} steps an epoch"
        )
    if not epochs:
        epochs = min(ceil(STEPS * batch_size / facts.rows), MOST_EPOCHS)
        chosen["epochs"] = float(epochs)
        reasons.append(
            f"epochs {epochs}, because they make {_steps(facts.rows * epochs, batch_size)} steps: "
            f"at least {STEPS} are wanted, in {MOST_EPOCHS} epochs at most"
        )
    if not choices.learning_rate:
        rate, reason = _rate(choices, facts)
        chosen["learning_rate"] = rate
        reasons.append(reason)
    return Decision(chosen, tuple(reasons))


def _batch_size(choices: HyperParameters, facts: RunFacts) -> int:
    """A power of two, made divisible by the micro-batches and enough for the ranks."""
    rows = FEWEST_ROWS
    while (
        rows < MOST_ROWS
        and 2 * rows * STEPS_OF_AN_EPOCH <= facts.rows
        and 2 * rows * _length(facts) <= MOST_TOKENS
    ):
        rows *= 2
    parts = choices.gradient_accumulation_steps
    return parts * ceil(max(rows, facts.ranks) / parts)


def _rate(choices: HyperParameters, facts: RunFacts) -> tuple[float, str]:
    method, objective = choices.method, choices.objective
    if method in BEGINNING_RATES:
        rate, why = BEGINNING_RATES[method], f"method {method} has a rate of its own"
    else:
        rate = RATES[method] * (REFERENCE_WIDTH / facts.width) ** WIDTH_POWER
        why = f"method {method} wants it of a model {facts.width} wide"
        if method == LORA:
            rate *= REFERENCE_ALPHA / choices.lora_alpha
            why += f" at lora_alpha {choices.lora_alpha:g}"
    if objective in OBJECTIVE_SHARES:
        rate *= OBJECTIVE_SHARES[objective]
        why += f", and objective {objective} {OBJECTIVE_SHARES[objective]:g} of it"
    if choices.learning_rate_multiplier != 1:
        rate *= choices.learning_rate_multiplier
        why += f"; times the learning_rate_multiplier {choices.learning_rate_multiplier:g}"
    rate = float(f"{min(rate, HIGHEST_RATE):.2g}")
    return rate, f"learning_rate {rate:g}, because {why}"


def _length(facts: RunFacts) -> int:
    """Mean tokens of a row."""
    return ceil(facts.tokens / facts.rows)


def _steps(rows: int, batch_size: int) -> int:
    """Of so many rows; the last one is perhaps not full."""
    return ceil(rows / batch_size)
