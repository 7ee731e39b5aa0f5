"""The whole evaluation in its work process: rows, questions, answers, figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelmill_jobs.child import ChildFailure, ChildPort

from modelmill_trainer.domain.evaluation_plan import EvaluationPlan
from modelmill_trainer.domain.evaluation_request import EvaluationRequest
from modelmill_trainer.evaluating.answer_book import AnswerBook
from modelmill_trainer.evaluating.ask_all import ask_all
from modelmill_trainer.evaluating.dataset_items import dataset_suite
from modelmill_trainer.evaluating.figures import SIDES, MeasuredSuite
from modelmill_trainer.evaluating.items import Suite
from modelmill_trainer.evaluating.outcomes import Unanswered, outcomes_of
from modelmill_trainer.evaluating.protections import judged
from modelmill_trainer.evaluating.questions import questions_of
from modelmill_trainer.evaluating.report_page import write_page
from modelmill_trainer.evaluating.results import summary_of, write_results, write_rows
from modelmill_trainer.evaluating.tasks.config import read_config
from modelmill_trainer.evaluating.tasks.task_items import task_suite

MEASURING_SILENCE_SECONDS = 600.0
"""For one table of figures: of all rows of a suite, or of one slice's groups."""


def evaluate(port: ChildPort) -> Mapping[str, Any]:
    """Ask, measure, and leave a folder with the results.

    Raises:
        ChildFailure: there is nothing to ask, or nothing was answered.
        Preempted: told to stop; what was answered is saved.
    """
    request = EvaluationRequest.from_json(port.request)
    suites = _suites(port, request)
    book = AnswerBook(port.folder / "answers", request.checkpoint_folder)
    questions = list(questions_of(suites, len(request.versions)))
    ask_all(port, questions, book, request.at_once, request.checkpoint_seconds)
    results, measured = _measure(port, request, suites, book)
    folder = port.folder / "results"
    folder.mkdir()
    port.report("save", max_silence_seconds=MEASURING_SILENCE_SECONDS)
    write_results(folder, results)
    write_rows(folder, measured)
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
        reason = empty[0].first_skipped or "there are no rows"
        raise ChildFailure(
            "NO_ROWS", f"{empty[0].name} has no row to ask: {reason}", "Choose other rows."
        )
    return suites


def _measure(
    port: ChildPort, request: EvaluationRequest, suites: Sequence[Suite], book: AnswerBook
) -> tuple[dict[str, Any], list[MeasuredSuite]]:
    figures: list[dict[str, Any]] = []
    measured: list[MeasuredSuite] = []
    tell = _MeasuringProgress(port, len(suites) * (1 + len(request.plan.slices)))
    for suite in suites:
        found = [outcomes_of(suite, side, book) for side in range(len(request.versions))]
        one = MeasuredSuite.of(suite, [rows for rows, _ in found])
        measured.append(one)
        told = _told([unanswered for _, unanswered in found])
        figures.append(one.figures(request.plan, tell) | told)
        _see_that_it_says_something(figures[-1])
    protections = judged(request.plan.protections, figures)
    return {
        "models": _models(request),
        "plan": _plan(request.plan),
        "suites": figures,
        "protections": protections,
        "passed": all(each["passed"] for each in protections),
    }, measured


class _MeasuringProgress:
    """Told after each table of figures."""

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


def _told(unanswered: Sequence[Unanswered]) -> dict[str, Any]:
    named = list(zip(SIDES, unanswered, strict=False))
    return {
        "unanswered": {name: each.as_json() for name, each in named if each.counts},
        "cut_answers": {name: each.cut for name, each in named},
    }


def _see_that_it_says_something(figures: Mapping[str, Any]) -> None:
    if figures["measures"]:
        return
    reasons = [each["first_reason"] for each in figures["unanswered"].values()]
    why = reasons[0] if reasons else "no measure applies to its rows"
    raise ChildFailure(
        "NOTHING_MEASURED", f"nothing of {figures['name']} could be measured: {why}", ""
    )


def _models(request: EvaluationRequest) -> dict[str, Any]:
    both = zip(SIDES, request.asked, request.versions, strict=False)
    return {side: {"asked": asked, "version_id": version} for side, asked, version in both}


def _plan(plan: EvaluationPlan) -> dict[str, Any]:
    written = plan.as_json()
    return {name: written[name] for name in ("split", "max_rows", "seed", "resamples")}
