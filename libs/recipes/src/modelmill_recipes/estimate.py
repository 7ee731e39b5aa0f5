"""Estimates of a recipe's steps: rows, tokens, memory and time.

Rows and tokens are counted in the files, tokens with the base's tokenizer over a sample. What they
take is estimated by `modelmill_job_index.job_estimates`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from modelmill_evaluation.score_names import MEASURES, OF_CHOICES, OF_TEXTS
from modelmill_job_index.job_estimates import (
    PlannedTraining,
    RuleSpeed,
    StepEstimate,
    estimate_training,
)

from modelmill_recipes.past_jobs import PastJobs
from modelmill_recipes.recipe import DISTILLATION, Recipe
from modelmill_recipes.row_conversation import RowConversation
from modelmill_recipes.survey_rows import SplitRows
from modelmill_recipes.training_size import hyper_parameters, training_size

GIB = 1 << 30
LIBRARIES_BYTES = 3 * GIB // 2
FROZEN_COPIES, FULL_COPIES, BUILD_COPIES, SERVED_COPIES = 2, 8, 4, 2
"""Of the weights in memory. The first two are what the trainer admits a run by."""
DATA_PROCESS_BYTES, SMALL_FILES_BYTES = 230_000_000, 256 * 1024
BUILD_START_SECONDS, EVALUATION_START_SECONDS, DATA_START_SECONDS = 50.0, 4.0, 0.7
DATA_BYTES_PER_SECOND = 1_000_000
LABEL_TOKEN_BYTES = 4
MOST_EVALUATED = 1_000
"""Rows of an evaluation without `max_rows`."""

CountTokens = Callable[[Sequence[RowConversation]], Sequence[int]]
"""Tokens of rows as the base reads them, without those that it cannot."""


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
        self._by_rule = RuleSpeed(cores or os.cpu_count() or 1, work.base_bytes)

    def dataset(self, rows: int, size_bytes: int) -> StepEstimate:
        """Of the dataset job."""
        processes = 1 if size_bytes <= SMALL_FILES_BYTES else 1 + (os.cpu_count() or 1)
        past = self._past.like("dataset")
        seconds = past.seconds_for(rows, past.figure("rows_in"))
        seconds = seconds or DATA_START_SECONDS + size_bytes / DATA_BYTES_PER_SECOND
        return StepEstimate(rows, None, DATA_PROCESS_BYTES * processes, seconds, past.basis)

    def training(self) -> StepEstimate:
        """Of the training, with the evaluation at its end."""
        work, training = self._work, self._recipe.training
        method = str(training.get("training_method") or "lora").replace("auto", "lora")
        earlier = self._past.like(
            "train",
            base_version_id=work.base_version_id,
            method=f"TRAINING_METHOD_{method.upper()}",
            objective=f"TRAINING_OBJECTIVE_{self._objective().upper()}",
        )
        given = hyper_parameters(self._recipe)
        rows = work.rows.train + int(given.get("teacher_texts", 0))
        size = training_size(given, rows, work.row_tokens or 0.0)
        # A teacher is most often as large as the base.
        taught = self._objective() == DISTILLATION
        copies = (FULL_COPIES if method == "full" else FROZEN_COPIES) + taught * FROZEN_COPIES
        planned = PlannedTraining(
            rows=work.rows.train,
            test_rows=work.rows.test if training.get("evaluate", True) else 0,
            row_tokens=work.row_tokens,
            row_visits=size.row_visits,
            trial_visits=size.trial_visits,
            trains_all_weights=method == "full",
            needed_memory_bytes=LIBRARIES_BYTES + copies * work.base_bytes,
            teacher_bytes=taught * work.base_bytes,
        )
        return estimate_training(planned, earlier, self._by_rule)

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
        seconds = past.seconds_for(rows, past.test_rows) or self._answering(
            times * rows, start_seconds
        )
        return StepEstimate(rows, None, memory, seconds, past.basis)

    def _answering(self, rows: float, start_seconds: float) -> float | None:
        if self._work.row_tokens is None:
            return None
        return start_seconds + self._by_rule.answering_seconds(rows * self._work.row_tokens)

    def _objective(self) -> str:
        training = self._recipe.training
        by_method = "dpo" if (training.get("method") or {}).get("type") == "dpo" else "answers"
        return str(training.get("objective") or by_method)
