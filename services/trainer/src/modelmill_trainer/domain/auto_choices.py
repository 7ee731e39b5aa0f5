"""Automatic epochs, batch size and learning rate, each with the reason.

The rates are those of "LoRA Without Regret" (Schulman and Thinking Machines 2025): the best rate of
adapters is about ten times that of all weights, hardly depends on the rank while the scale of the
adapters is the same, and falls as the model gets wider. `tests/bench/defaults.py` measures the rule
beside fixed rates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.json_value import JsonValue
from modelmill_trainer.domain.methods import DPO, FULL, KTO, LORA, LOW_RANK, PREFIX, PROMPT, QLORA

RATES = {LORA: 5e-4, QLORA: 5e-4, FULL: 5e-5}
"""Of a model of `REFERENCE_WIDTH`, adapters at `REFERENCE_ALPHA`. QLoRA's is LoRA's, unmeasured."""
REFERENCE_WIDTH, WIDTH_POWER = 2000, 0.781
REFERENCE_ALPHA = 32
SOFT_PROMPT_RATES = {PREFIX: 5e-2, PROMPT: 1e-2}
"""What stands before every row is learned at a rate of its own, whatever the model."""
OBJECTIVE_SHARES = {DPO: 0.5, KTO: 0.5}
"""Share of the rate for preference objectives. The usual tenth and less is for models that follow
instructions already: on the benchmark's rows it learned 11 points less. KTO's is DPO's, unmeasured.
"""
HIGHEST_RATE = 1e-1

FEWEST_ROWS, MOST_ROWS = 4, 32
"""Rows of an optimizer step."""
STEPS_OF_AN_EPOCH = 32
"""Minimum steps per epoch; it bounds the batch size."""
MOST_TOKENS = 16_384
"""Tokens of an optimizer step at most: with long rows fewer rows suffice."""
STEPS, MOST_EPOCHS = 100, 5
"""A small dataset is repeated until the run has STEPS steps, for at most MOST_EPOCHS epochs."""
TRIAL_FACTORS = (1 / 3, 1.0, 3.0)
"""Factors on the automatic rate in a search; finer steps differ by less than seeds do."""
TRIAL_SHARE = 0.25
"""Length of a trial, as a share of the run's steps."""
FEWEST_TRIAL_STEPS, MOST_TRIAL_STEPS = 10, 60


@dataclass(frozen=True)
class RunSize:
    """Sizes of dataset, model and process group that automatic values depend on."""

    rows: int
    """Of the train split."""
    tokens: int
    """Of all these rows."""
    width: int
    """Of the base's hidden states."""
    ranks: int = 1
    """Processes that a step's rows are divided among."""


@dataclass(frozen=True)
class AutoChoices(JsonValue):
    """Resolved automatic values; part of every checkpoint, so that a resume keeps them."""

    chosen: Mapping[str, Any]
    """Value by field name."""
    reasons: tuple[str, ...] = ()
    """One sentence per value."""

    def apply(self, choices: HyperParameters) -> HyperParameters:
        """`choices` with the automatic values filled in."""
        return replace(choices, **self.chosen)

    def summary(self) -> dict[str, Any]:
        """Entries of the job's summary; empty if every value was given."""
        if not self.chosen:
            return {}
        return {"chosen": dict(self.chosen), "choice_reasons": list(self.reasons)}


def decide_auto_choices(choices: HyperParameters, facts: RunSize) -> AutoChoices:
    """Resolve the fields that are 0 in `choices`; given values stay."""
    length = decide_length(choices, facts)
    if choices.learning_rate:
        return length
    rate, reason = _rate(choices, facts)
    return AutoChoices({**length.chosen, "learning_rate": rate}, (*length.reasons, reason))


def decide_length(choices: HyperParameters, facts: RunSize) -> AutoChoices:
    """Resolve batch size and epochs alone, for which the width is not looked at."""
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
    return AutoChoices(chosen, tuple(reasons))


def trial_steps(steps: int) -> int:
    """Steps of each trial of a rate search, before a run of so many."""
    return min(max(ceil(TRIAL_SHARE * steps), FEWEST_TRIAL_STEPS), MOST_TRIAL_STEPS, steps)


def _batch_size(choices: HyperParameters, facts: RunSize) -> int:
    """A power of two, rounded up to a multiple of the micro-batches and at least one row a rank."""
    rows = FEWEST_ROWS
    while (
        rows < MOST_ROWS
        and 2 * rows * STEPS_OF_AN_EPOCH <= facts.rows
        and 2 * rows * _length(facts) <= MOST_TOKENS
    ):
        rows *= 2
    parts = choices.gradient_accumulation_steps
    return parts * ceil(max(rows, facts.ranks) / parts)


def _rate(choices: HyperParameters, facts: RunSize) -> tuple[float, str]:
    method, objective = choices.method, choices.objective
    if method in SOFT_PROMPT_RATES:
        rate, why = SOFT_PROMPT_RATES[method], f"method {method} has a rate of its own"
    else:
        rate = RATES[method] * (REFERENCE_WIDTH / facts.width) ** WIDTH_POWER
        why = f"method {method} wants it of a model {facts.width} wide"
        if method in LOW_RANK:
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


def _length(facts: RunSize) -> int:
    """Mean tokens of a row."""
    return ceil(facts.tokens / facts.rows)


def _steps(rows: int, batch_size: int) -> int:
    """Optimizer steps for `rows`; the last may be partial."""
    return ceil(rows / batch_size)
