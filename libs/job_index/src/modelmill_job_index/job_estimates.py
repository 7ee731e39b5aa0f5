"""Estimates of jobs before they are ordered: memory and time, and tokens of trainings.

They are those of earlier jobs of the same sort. Without any there is a rule: operations by the
size of the weights, at `FLOPS_OF_A_CORE`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

FLOPS_OF_A_CORE = 150e9
FROZEN_FLOPS, FULL_FLOPS, READ_FLOPS = 4, 6, 2
"""Per weight and token."""
ANSWER_FACTOR = 3
"""An answer is written token by token, and scored in full precision: both are slower than
reading."""
TRAINING_START_SECONDS = 24.0
SHORT_SECONDS = 5.0
COMPARED_JOBS = 5
"""The newest ones of a sort."""


@dataclass(frozen=True)
class EstimateNote:
    """What is not known of a job before it is ordered, or what may differ."""

    code: str
    """Names it for programs, whatever its words become."""
    text: str


@dataclass(frozen=True)
class StepEstimate:
    """Of one job; None where it is not known."""

    rows: int | None = None
    tokens: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    basis: str = ""
    """What time is taken from."""


@dataclass(frozen=True)
class EarlierJobs:
    """Jobs of one sort that succeeded, the newest first, by what they took."""

    seconds: Sequence[float] = ()
    """Of work, for each."""
    summaries: Sequence[Mapping[str, Any]] = ()
    """Figures of each by name."""
    test_rows: int = 0
    """Of the dataset that the newest read; 0 if that is gone."""

    @property
    def work_seconds(self) -> float | None:
        """Median time of work; None of none."""
        return median(self.seconds) if self.seconds else None

    @property
    def basis(self) -> str:
        """What an estimate by them rests on, in words."""
        return f"{len(self.seconds)} earlier" if self.seconds else "rule"

    def figure(self, name: str) -> float | None:
        """Median of a figure of the summaries; None where none has it."""
        figures = [float(each[name]) for each in self.summaries if each.get(name)]
        return median(figures) if figures else None

    def seconds_for(self, rows: int, before: float | None) -> float | None:
        """Time of work for other rows than theirs; None of none."""
        return scaled_seconds(self.work_seconds, rows, before)


@dataclass(frozen=True)
class RuleSpeed:
    """Speed of a machine by the rule."""

    cores: float
    weight_bytes: int
    """Of the model, at 16 bits a weight."""

    def tokens_per_second(self, flops: int) -> float:
        """With so many operations per weight and token."""
        return FLOPS_OF_A_CORE * self.cores / (flops * max(self.weight_bytes / 2, 1))

    def answering_seconds(self, tokens: float) -> float:
        """Time to answer, or score, prompts of so many tokens together."""
        return tokens / (self.tokens_per_second(READ_FLOPS) / ANSWER_FACTOR)


@dataclass(frozen=True, kw_only=True)
class PlannedTraining:
    """What a training reads and holds."""

    rows: int
    """Of the train split."""
    test_rows: int
    """Answered by base and model at the end; 0 where they are not scored."""
    row_tokens: float | None
    """On average, as the base reads them; None where nobody knows."""
    row_visits: int = 0
    """Rows over all epochs; not looked at without `row_tokens`."""
    trial_visits: int = 0
    """Before them, to search the learning rate."""
    trains_all_weights: bool
    needed_memory_bytes: int
    """What a run is admitted by."""
    teacher_bytes: int = 0
    """Of a teacher at 16 bits a weight, which reads every row that is learned, and answers the
    test rows; 0 without one."""


def estimate_training(
    planned: PlannedTraining, earlier: EarlierJobs, by_rule: RuleSpeed
) -> StepEstimate:
    """Of a training, with the evaluation at its end.

    Args:
        by_rule: Speed of what no earlier training has measured.
    """
    memory = round(earlier.figure("peak_memory_bytes") or planned.needed_memory_bytes)
    row_tokens = planned.row_tokens
    if row_tokens is None:
        return StepEstimate(planned.rows, None, memory)
    tokens = round(planned.row_visits * row_tokens)
    flops = FULL_FLOPS if planned.trains_all_weights else FROZEN_FLOPS
    speed = earlier.figure("tokens_per_second") or by_rule.tokens_per_second(flops)
    learned = tokens + planned.trial_visits * row_tokens
    seconds = learned / speed + _around(planned.test_rows, row_tokens, earlier, by_rule)
    if planned.teacher_bytes and not earlier.seconds:
        teacher = replace(by_rule, weight_bytes=planned.teacher_bytes)
        seconds += learned / teacher.tokens_per_second(READ_FLOPS)
        seconds += teacher.answering_seconds(planned.test_rows * row_tokens)
    return StepEstimate(planned.rows, tokens, memory, seconds, earlier.basis)


def _around(test_rows: int, row_tokens: float, earlier: EarlierJobs, by_rule: RuleSpeed) -> float:
    """Seconds of a training that are not steps: the start, and answers of base and model."""
    whole, steps = earlier.work_seconds, earlier.figure("train_seconds")
    if whole is None or steps is None:
        return TRAINING_START_SECONDS + by_rule.answering_seconds(2 * test_rows * row_tokens)
    return scaled_seconds(max(whole - steps, 1.0), test_rows, earlier.test_rows) or 1.0


def scaled_seconds(seconds: float | None, rows: int, before: float | None) -> float | None:
    """Time for other rows than it was taken for. Half of it is the start, whatever the rows; or
    more of a short job, which is hardly anything else."""
    if not seconds:
        return None
    start = max(seconds / 2, min(seconds, SHORT_SECONDS))
    return start + (seconds - start) * rows / (before or max(rows, 1))
