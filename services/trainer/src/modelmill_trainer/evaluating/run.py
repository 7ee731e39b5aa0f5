"""Runs an evaluation in its child process: read rows, query models, compute metrics, write
files."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from modelmill_evaluation.score_names import LOWER_IS_BETTER
from modelmill_evaluation.scores import RowOutcome
from modelmill_jobs.child import ChildFailure, ChildPort

from modelmill_trainer.domain.child_requests import EvaluationRequest
from modelmill_trainer.domain.evaluation_plan import (
    DATASET_SUITE,
    MEAN,
    EvaluationPlan,
    Protected,
)
from modelmill_trainer.evaluating.dataset_items import dataset_suite
from modelmill_trainer.evaluating.figures import SIDES, MeasuredSuite, suite_figures
from modelmill_trainer.evaluating.items import SCORE, WRITE, Item, Suite
from modelmill_trainer.evaluating.questions import questions_of
from modelmill_trainer.evaluating.report_page import write_page
from modelmill_trainer.evaluating.send_questions import AnswerStore, send_questions
from modelmill_trainer.evaluating.tasks.config import read_config
from modelmill_trainer.evaluating.tasks.task_items import task_suite

NOT_FINITE = "a likelihood is not a finite number"
ROUNDING = 1e-12
"""Tolerance, so that a value equal to its threshold passes."""
RESULTS, ROWS = "results.json", "rows.jsonl"
MEASURING_SILENCE_SECONDS = 600.0
"""Per metrics table: all rows of a suite, or one slice."""


@dataclass
class Unanswered:
    """Requests that a model refused, counted by kind."""

    counts: Counter[str] = field(default_factory=Counter)
    """By request kind."""
    first: str = ""
    """Reason of the first refusal."""
    cut: int = 0
    """Generated answers that ended at the token limit."""

    def count(self, asks: str, refusal: str) -> None:
        self.counts[asks] += 1
        self.first = self.first or refusal

    def as_json(self) -> dict[str, Any]:
        return {**dict(sorted(self.counts.items())), "first_reason": self.first}


def outcomes_of(
    suite: Suite, side: int, answers: AnswerStore
) -> tuple[list[RowOutcome], Unanswered]:
    """A model's outcome for each item of a suite, in order."""
    unanswered = Unanswered()
    return [_outcome(suite, item, side, answers, unanswered) for item in suite.items], unanswered


def _outcome(
    suite: Suite, item: Item, side: int, answers: AnswerStore, unanswered: Unanswered
) -> RowOutcome:
    scores = _value(answers.get((suite.name, item.key, side, SCORE)), SCORE, unanswered)
    written = _value(answers.get((suite.name, item.key, side, WRITE)), WRITE, unanswered)
    if written is not None and written["finish_reason"] == "length":
        unanswered.cut += 1
    if scores is not None and not all(isfinite(score["log_likelihood"]) for score in scores):
        unanswered.count(SCORE, NOT_FINITE)
        scores = None
    answer = None if written is None else written["text"]
    if scores is None:
        return RowOutcome(item.reference, choices=item.choices, right=item.right, answer=answer)
    return _scored(item, scores, answer)


def _scored(item: Item, scores: Sequence[dict[str, Any]], answer: str | None) -> RowOutcome:
    right = scores[item.right or 0]
    return RowOutcome(
        item.reference,
        log_likelihood=right["log_likelihood"],
        tokens=right["tokens"],
        choices=item.choices,
        right=item.right,
        choice_scores=tuple(s["log_likelihood"] for s in scores) if item.choices else None,
        is_greedy=None if item.choices else right["is_greedy"],
        answer=answer,
    )


def _value(answer: dict[str, Any] | None, asks: str, unanswered: Unanswered) -> Any:
    if answer is None:
        return None  # not requested
    if answer["value"] is None:
        unanswered.count(asks, answer["refusal"])
    return answer["value"]


def check_protections(
    protections: Sequence[Protected],
    suites: Sequence[Mapping[str, Any]],
    of_tasks: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Each protection with value, difference, `passed` and the reason.

    The point estimate decides, not its interval. A metric without a value fails.

    Args:
        of_tasks: Figures of the suite that the tasks are of; None without one.
    """
    mean: Mapping[str, Any] = (of_tasks or {}).get("mean", {})
    return [
        _check_protection(each, mean if each.measure == MEAN else _measured(each, suites))
        for each in protections
    ]


def _check_protection(each: Protected, measured: Mapping[str, Any]) -> dict[str, Any]:
    model = (measured.get("model") or {}).get("value")
    difference = ((measured.get("comparison") or {}).get("difference") or {}).get("value")
    sign = -1 if each.measure in LOWER_IS_BETTER else 1
    faults = []
    if model is None:
        faults.append("no row of it was measured")
    elif each.worst is not None and sign * (model - each.worst) < -ROUNDING:
        faults.append(f"{model:.6g} is worse than {each.worst:g}")
    if each.largest_loss is not None and model is not None:
        if difference is None:
            faults.append("no row of it was measured for both models")
        elif -sign * difference > each.largest_loss + ROUNDING:
            lost = -sign * difference
            faults.append(
                f"{lost:.6g} worse than compare_to, which is more than {each.largest_loss:g}"
            )
    return {
        **asdict(each),
        "value": model,
        "difference": difference,
        "passed": not faults,
        "why": "; ".join(faults),
    }


def _measured(each: Protected, suites: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for suite in suites:
        if each.suite in ("", suite["name"]):
            group = suite
            if each.slice_by:
                group = suite["slices"].get(each.slice_by, {}).get(each.slice_value, {})
            found: Mapping[str, Any] = group.get("measures", {}).get(each.measure, {})
            return found
    return {}


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write `results.json`."""
    text = json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False)
    (folder / RESULTS).write_text(text + "\n", "utf-8")


def write_rows(folder: Path, suites: Sequence[MeasuredSuite], plan: EvaluationPlan) -> None:
    """Write `rows.jsonl`: reference, groups, and each model's answer with its scores."""
    with (folder / ROWS).open("x", encoding="utf-8") as file:
        for suite in suites:
            for line in _lines(suite, plan):
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def summary_of(results: Mapping[str, Any]) -> dict[str, Any]:
    """Summary for the job record: no slices, and no text of any row."""
    return {
        "models": results["models"],
        "suites": {
            suite["name"]: {name: suite[name] for name in ("rows", "measures", "shown")}
            for suite in results["suites"]
        },
        "suite": results["suite"],
        "protections": results["protections"],
        "passed": results["passed"],
    }


def _lines(suite: MeasuredSuite, plan: EvaluationPlan) -> Iterator[dict[str, Any]]:
    sides = range(len(suite.outcomes))
    groups = suite.row_groups(plan)
    values = [{name: suite.row_values(name, s) for name in suite.statistics} for s in sides]
    for place, item in enumerate(suite.suite.items):
        line: dict[str, Any] = {
            "suite": suite.suite.name,
            "row": item.key,
            "prompt_sha256": hashlib.sha256(item.prompt.content.encode()).hexdigest(),
            "reference": item.reference,
            "slices": {by: labels[place] for by, labels in groups.items()},
        }
        if plan.with_prompts:
            line["prompt"] = item.prompt.content
        for side in sides:
            scores = {
                name: of_rows[place]
                for name, of_rows in values[side].items()
                if of_rows[place] is not None
            }
            line[SIDES[side]] = _row_output(item, suite.outcomes[side][place]) | {"scores": scores}
        yield line


def _row_output(item: Item, outcome: RowOutcome) -> dict[str, Any]:
    output: dict[str, Any] = {"answer": outcome.answer}
    if outcome.log_likelihood is not None:
        output |= {"log_likelihood": outcome.log_likelihood, "tokens": outcome.tokens}
    if outcome.choice_scores is not None and outcome.chosen is not None:
        output |= {
            "chosen": item.choices[outcome.chosen],
            "choice_scores": list(outcome.choice_scores),
        }
    return output


def evaluate(port: ChildPort) -> Mapping[str, Any]:
    """Query the models, compute metrics and write the results folder.

    Raises:
        ChildFailure: there are no rows, or no metric has a value.
        Preempted: the job was asked to stop; answers so far are saved.
    """
    request = EvaluationRequest.from_json(port.request)
    suites = _suites(port, request)
    answers = AnswerStore(port.folder / "answers", request.checkpoint_folder)
    questions = list(questions_of(suites, len(request.versions)))
    send_questions(port, questions, answers, request.at_once, request.checkpoint_seconds)
    results, measured = _measure(port, request, suites, answers)
    folder = port.folder / "results"
    folder.mkdir()
    port.report("save", max_silence_seconds=MEASURING_SILENCE_SECONDS)
    write_results(folder, results)
    write_rows(folder, measured, request.plan)
    write_page(folder, results)
    return {"folder": str(folder), "summary": summary_of(results)}


def _suites(port: ChildPort, request: EvaluationRequest) -> list[Suite]:
    port.report("read rows", max_silence_seconds=MEASURING_SILENCE_SECONDS)
    suites: list[Suite] = []
    if request.dataset_folder is not None:
        suites.append(dataset_suite(request.dataset_folder, request.choices, request.plan))
    for task in request.tasks:
        suites.append(task_suite(read_config(task.config), task.files, request.plan))
    empty = [suite for suite in suites if not suite.items]
    if empty:
        name, reason = empty[0].name, empty[0].first_skipped or "there are no rows"
        is_task = name != DATASET_SUITE
        remedy = "Correct the task's templates or its rows." if is_task else "Choose other rows."
        raise ChildFailure("NO_ROWS", f"{name} has no usable row: {reason}", remedy)
    return suites


def _measure(
    port: ChildPort, request: EvaluationRequest, suites: Sequence[Suite], answers: AnswerStore
) -> tuple[dict[str, Any], list[MeasuredSuite]]:
    figures: list[dict[str, Any]] = []
    measured: list[MeasuredSuite] = []
    progress = _MetricsProgress(port, len(suites) * (1 + len(request.plan.slices)))
    for suite in suites:
        found = [outcomes_of(suite, side, answers) for side in range(len(request.versions))]
        one = MeasuredSuite.of(suite, [rows for rows, _ in found])
        measured.append(one)
        unanswered_figures = _unanswered_figures([unanswered for _, unanswered in found])
        figures.append(one.figures(request.plan, progress) | unanswered_figures)
        _require_metrics(figures[-1])
    of_tasks = suite_figures(measured, request.plan)
    protections = check_protections(request.plan.protections, figures, of_tasks)
    return {
        "models": _models(request),
        "plan": _plan(request.plan),
        "suite": of_tasks,
        "suites": figures,
        "protections": protections,
        "passed": all(each["passed"] for each in protections),
    }, measured


class _MetricsProgress:
    """Reports progress after each metrics table."""

    def __init__(self, port: ChildPort, total: int) -> None:
        self._port = port
        self._total = total
        self._done = 0
        self._report()

    def __call__(self) -> None:
        self._done += 1
        self._report()

    def _report(self) -> None:
        self._port.report(
            "measure",
            done=self._done,
            total=self._total,
            unit="table",
            max_silence_seconds=MEASURING_SILENCE_SECONDS,
        )


def _unanswered_figures(unanswered: Sequence[Unanswered]) -> dict[str, Any]:
    named = list(zip(SIDES, unanswered, strict=False))
    return {
        "unanswered": {name: each.as_json() for name, each in named if each.counts},
        "cut_answers": {name: each.cut for name, each in named},
    }


def _require_metrics(figures: Mapping[str, Any]) -> None:
    if figures["measures"]:
        return
    reasons = [each["first_reason"] for each in figures["unanswered"].values()]
    why = reasons[0] if reasons else "no measure applies to its rows"
    raise ChildFailure(
        "NOTHING_MEASURED",
        f"no metric of {figures['name']} has a value: {why}",
        "Choose other rows or metrics.",
    )


def _models(request: EvaluationRequest) -> dict[str, Any]:
    both = zip(SIDES, request.asked, request.versions, strict=False)
    return {side: {"asked": asked, "version_id": version} for side, asked, version in both}


def _plan(plan: EvaluationPlan) -> dict[str, Any]:
    written = plan.as_json()
    return {name: written[name] for name in ("split", "max_rows", "seed", "resamples")}
