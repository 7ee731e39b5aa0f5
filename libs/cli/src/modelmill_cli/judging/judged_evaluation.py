"""Scores that a judge gives the answers of an evaluation, with intervals, for one model or two."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelmill_evaluation.intervals import (
    Aggregates,
    Comparison,
    Estimate,
    Statistics,
    compare,
    estimate,
    mean_comparison,
    mean_estimate,
)
from modelmill_evaluation.scores import Mean
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.judging.grading_prompts import GradedAnswer
from modelmill_cli.judging.judge import AnswerJudge
from modelmill_cli.judging.label_answers import Labels

SIDES = ("model", "compare_to")
Figures = dict[str, Any]
_MEAN: Aggregates = Mean("score", lambda _row: None)
"""Of one number a row, which is known here."""
ROUNDING = 1e-12
"""Tolerance, so that a value equal to its threshold passes."""


@dataclass(frozen=True)
class JudgedRow:
    """A row of an evaluation, and the answer of each model to it."""

    suite: str
    row: str
    answers: tuple[GradedAnswer, ...]


def read_rows(lines: Iterable[str], job_id: str) -> list[JudgedRow]:
    """Rows in which each model generated an answer.

    Raises:
        PreconditionError: none has, or the rows have no prompts.
    """
    rows, has_prompts = list[JudgedRow](), False
    for line in filter(str.strip, lines):
        row: dict[str, Any] = json.loads(line)
        has_prompts |= "prompt" in row
        answers = [row[side].get("answer") for side in SIDES if side in row]
        if "prompt" in row and all(isinstance(answer, str) for answer in answers):
            graded = tuple(GradedAnswer(it, row["prompt"], row["reference"]) for it in answers)
            rows.append(JudgedRow(row["suite"], row["row"], graded))
    if not rows and not has_prompts:
        raise PreconditionError(
            f"rows of {job_id} have no prompts, which a judge must see. Evaluate again with"
            " --judge, or with --set with_prompts=true"
        )
    if not rows:
        raise PreconditionError(
            f"no row of {job_id} has a generated answer. Evaluate on a task of output_type"
            " generate_until, or on a dataset of free answers"
        )
    return rows


def judged_figures(judge: AnswerJudge, rows: Sequence[JudgedRow], labels: Labels) -> Figures:
    """Mean score of each task and of all tasks.

    Args:
        labels: Of the answers of each row, in the order of the rows.
    """
    scores = _scores(judge, rows, labels)
    sides = range(len(rows[0].answers))
    tasks: dict[str, list[Statistics]] = {}
    for name in dict.fromkeys(row.suite for row in rows):
        of_task = [of_row for row, of_row in zip(rows, scores, strict=True) if row.suite == name]
        tasks[name] = [Statistics.of_rows([(each[side],) for each in of_task]) for side in sides]
    return {
        "tasks": {name: _task_figures(columns) for name, columns in tasks.items()},
        "mean": _mean_figures([*tasks.values()]),
        "rows": len(rows),
        "unlabelled": labels.unlabelled,
        "refused": labels.refused,
        "refusal": labels.refusal,
    }


def _scores(judge: AnswerJudge, rows: Sequence[JudgedRow], labels: Labels) -> list[list[float]]:
    """By row and model; an answer without a label counts the lowest."""
    given = iter(labels.labels)
    return [[judge.score(next(given)) for _ in row.answers] for row in rows]


def _task_figures(columns: Sequence[Statistics]) -> Figures:
    values = [estimate(_MEAN, each) for each in columns]
    both = compare(_MEAN, columns[0], columns[1]) if len(columns) == len(SIDES) else None
    return {"rows": len(columns[0].of_row), **_figures(values, both)}


def _mean_figures(tasks: Sequence[Sequence[Statistics]]) -> Figures:
    sides = [[(_MEAN, columns[n]) for columns in tasks] for n in range(len(tasks[0]))]
    values = [mean_estimate(each) for each in sides]
    both = mean_comparison(sides[0], sides[1]) if len(sides) == len(SIDES) else None
    return _figures(values, both)


def _figures(values: Sequence[Estimate | None], both: Comparison | None) -> Figures:
    found = zip(SIDES, values, strict=False)
    figures: Figures = {name: asdict(value) for name, value in found if value is not None}
    if both is not None:
        figures["comparison"] = {**asdict(both), "is_clear": both.is_clear}
    return figures


def protection_of(worst: float, figures: Mapping[str, Any]) -> Figures:
    """Whether the mean over tasks reaches a bound: the point estimate decides."""
    value = figures["mean"]["model"]["value"]
    passed = value - worst >= -ROUNDING
    why = "" if passed else f"{value:.6g} is worse than {worst:g}"
    return {"measure": "judge", "worst": worst, "value": value, "passed": passed, "why": why}
