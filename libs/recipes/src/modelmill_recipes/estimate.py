"""Estimates of a recipe's steps: rows, tokens, memory and time.

Rows and tokens are counted in the files, tokens with the base's tokenizer over a sample. Time and
memory are those of earlier jobs of the same sort on the installation. Without any there is a rule:
operations by the size of the weights, at `FLOPS_OF_A_CORE`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from modelmill_evaluation.score_names import MEASURES, OF_CHOICES, OF_TEXTS

from modelmill_recipes.api import Record
from modelmill_recipes.past_jobs import PastJobs, figure, work_seconds
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.row_conversation import RowConversation
from modelmill_recipes.survey_rows import SplitRows
from modelmill_recipes.training_size import hyper_parameters, training_size

GIB = 1 << 30
LIBRARIES_BYTES = 3 * GIB // 2
FROZEN_COPIES, FULL_COPIES, BUILD_COPIES, SERVED_COPIES = 2, 8, 4, 2
"""Of the weights in memory. The first two are what the trainer admits a run by."""
DATA_PROCESS_BYTES, SMALL_FILES_BYTES = 230_000_000, 256 * 1024
FLOPS_OF_A_CORE = 150e9
TRAINING_START_SECONDS, BUILD_START_SECONDS = 24.0, 50.0
EVALUATION_START_SECONDS, DATA_START_SECONDS = 4.0, 0.7
DATA_BYTES_PER_SECOND = 1_000_000
SHORT_SECONDS = 5.0
FROZEN_FLOPS, FULL_FLOPS, READ_FLOPS = 4, 6, 2
"""Per weight and token."""
ANSWER_FACTOR = 3
"""An answer is written token by token, and scored in full precision: both are slower than
reading."""
LABEL_TOKEN_BYTES = 4
MOST_EVALUATED = 1_000
"""Rows of an evaluation without `max_rows`."""

CountTokens = Callable[[Sequence[RowConversation]], Sequence[int]]
"""Tokens of rows as the base reads them, without those that it cannot."""


@dataclass(frozen=True)
class StepEstimate:
    """Of one step; None where it is not known."""

    rows: int | None = None
    tokens: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    basis: str = ""
    """What time is taken from."""


@dataclass(frozen=True)
class Workload:
    """What the steps work on."""

    rows: SplitRows
    row_tokens: float | None
    """On average, as the base reads them."""
    base_bytes: int
    base_version_id: str
    """Empty while it is not imported."""
    labels: Sequence[str] = ()
    """Of a classification."""


def mean_tokens(count: CountTokens, sample: Sequence[RowConversation]) -> float | None:
    """Of the rows of a sample; None of none."""
    counted = count(sample)
    return mean(counted) if counted else None


class RecipeEstimates:
    """Estimates of a recipe's jobs.

    Args:
        past: Earlier jobs.
        cores: Of the machine that works.
    """

    def __init__(
        self, recipe: Recipe, work: Workload, past: PastJobs, cores: int | None = None
    ) -> None:
        self._recipe = recipe
        self._work = work
        self._past = past
        self._flops = FLOPS_OF_A_CORE * (cores or os.cpu_count() or 1)

    def dataset(self, rows: int, size_bytes: int) -> StepEstimate:
        """Of the dataset job."""
        processes = 1 if size_bytes <= SMALL_FILES_BYTES else 1 + (os.cpu_count() or 1)
        past = self._past.like("dataset")
        seconds = _scaled(work_seconds(past), rows, figure(past, "rows_in"))
        seconds = seconds or DATA_START_SECONDS + size_bytes / DATA_BYTES_PER_SECOND
        return StepEstimate(rows, None, DATA_PROCESS_BYTES * processes, seconds, _basis(past))

    def training(self) -> StepEstimate:
        """Of the training, with the evaluation at its end."""
        work, given = self._work, hyper_parameters(self._recipe)
        method = str(self._recipe.training.get("training_method") or "lora").replace("auto", "lora")
        past = self._past.like(
            "train",
            base_version_id=work.base_version_id,
            method=f"TRAINING_METHOD_{method.upper()}",
            objective=f"TRAINING_OBJECTIVE_{self._objective().upper()}",
        )
        copies = FULL_COPIES if method == "full" else FROZEN_COPIES
        memory = figure(past, "peak_memory_bytes") or LIBRARIES_BYTES + copies * work.base_bytes
        if work.row_tokens is None:
            return StepEstimate(work.rows.train, None, round(memory))
        size = training_size(given, work.rows.train, work.row_tokens)
        tokens = round(size.row_visits * work.row_tokens)
        flops = FULL_FLOPS if method == "full" else FROZEN_FLOPS
        speed = figure(past, "tokens_per_second") or self._tokens_per_second(flops)
        seconds = (tokens + size.trial_visits * work.row_tokens) / speed + self._around(past)
        basis = _basis(past)
        return StepEstimate(work.rows.train, tokens, round(memory), seconds, basis)

    def build(self, target_form: str = "") -> StepEstimate:
        """Of a build, which is scored beside its source; without a form of the default one."""
        named = {"target_form": target_form} if target_form else {}
        memory = GIB + BUILD_COPIES * self._work.base_bytes
        rows = self._work.rows.test
        return self._scored("optimize", rows, memory, BUILD_START_SECONDS, 2, **named)

    def evaluation(self) -> StepEstimate:
        """Of the evaluation, in which each model answers each row or scores its labels."""
        evaluation, suite = self._recipe.evaluation or {}, self._recipe.suite
        memory = GIB // 2 + SERVED_COPIES * self._work.base_bytes
        rows = min(self._work.rows.test, evaluation.get("max_rows") or MOST_EVALUATED)
        rows += suite.rows if suite is not None else 0
        sides = 2 if evaluation.get("compare_to") else 1
        times = sides * self._evaluated_times({*(evaluation.get("measures") or MEASURES)})
        return self._scored("evaluate", rows, memory, EVALUATION_START_SECONDS, times)

    def _evaluated_times(self, measures: set[str]) -> float:
        """How many times a row is computed: to write an answer, and to score the row once with all
        labels after it, each as long as the longest."""
        labels, row_tokens = self._work.labels, self._work.row_tokens or 0.0
        times = 1.0 if not labels or measures & {*OF_TEXTS} else 0.0
        if labels and measures & {*OF_CHOICES} and row_tokens:
            longest = max(len(label.encode()) for label in labels)
            times += 1 + len(labels) * (1 + longest / LABEL_TOKEN_BYTES) / row_tokens
        return times

    def _scored(
        self, kind: str, rows: int, memory: int, start_seconds: float, times: float, **spec: str
    ) -> StepEstimate:
        past = self._past.like(kind, **spec)
        before = self._past.test_rows(past[0]) if past else 0
        seconds = _scaled(work_seconds(past), rows, before) or self._answering(
            times * rows, start_seconds
        )
        return StepEstimate(rows, None, memory, seconds, _basis(past))

    def _around(self, past: Sequence[Record]) -> float:
        """Seconds of a training that are not steps: the start, and answers of base and model."""
        rows = self._work.rows.test if self._recipe.training.get("evaluate", True) else 0
        whole, steps = work_seconds(past), figure(past, "train_seconds")
        if whole is None or steps is None:
            return self._answering(2 * rows, TRAINING_START_SECONDS) or TRAINING_START_SECONDS
        return _scaled(max(whole - steps, 1.0), rows, self._past.test_rows(past[0])) or 1.0

    def _answering(self, rows: float, start_seconds: float) -> float | None:
        if self._work.row_tokens is None:
            return None
        speed = self._tokens_per_second(READ_FLOPS) / ANSWER_FACTOR
        return start_seconds + rows * self._work.row_tokens / speed

    def _tokens_per_second(self, flops: int) -> float:
        return self._flops / (flops * max(self._work.base_bytes / 2, 1))

    def _objective(self) -> str:
        training = self._recipe.training
        by_method = "dpo" if (training.get("method") or {}).get("type") == "dpo" else "answers"
        return str(training.get("objective") or by_method)


def _scaled(seconds: float | None, rows: int, before: float | None) -> float | None:
    """Time for other rows than it was taken for. Half of it is the start, whatever the rows; or
    more of a short job, which is hardly anything else."""
    if not seconds:
        return None
    start = max(seconds / 2, min(seconds, SHORT_SECONDS))
    return start + (seconds - start) * rows / (before or max(rows, 1))


def _basis(past: Sequence[Record]) -> str:
    return f"{len(past)} earlier" if past else "rule"
