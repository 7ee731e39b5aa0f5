"""Final evaluation: scores base and tuned model on the same test questions."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modelmill_evaluation.choices import ChoiceQuestion, answer_in_batches
from modelmill_evaluation.intervals import accuracy, paired_difference
from modelmill_jobs.child import ChildPort, Preempted

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.scorer import TreeScorer

QUESTIONS_SECONDS = 120.0
QUESTIONS_AT_A_TIME = 4
"""Batch size: enough to fill matrix products; more only increases the cost of attention."""


def score_test_split(
    model: TrainedModel, questions: Sequence[ChoiceQuestion], port: ChildPort, *, phase: str
) -> list[bool]:
    """Whether `model` answers each question correctly.

    Raises:
        Preempted: the run was asked to stop; partial results are dropped.
    """

    def on_progress(done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        port.report(
            phase, done=done, total=total, unit="row", max_silence_seconds=QUESTIONS_SECONDS
        )

    model.train(False)
    with model.as_frozen():
        return answer_in_batches(
            questions, TreeScorer(model), on_progress, batch_size=QUESTIONS_AT_A_TIME
        )


def evaluation_report(
    choices: Sequence[str], base: Sequence[bool] | None, tuned: Sequence[bool] | None
) -> dict[str, Any]:
    """Content of evaluation.json; without results if the test split was not scored."""
    report: dict[str, Any] = {"choices": list(choices), "rows": len(tuned or ()), "differences": {}}
    for name, correct in (("base", base), ("tuned", tuned)):
        if correct:
            report[name] = {"correct": list(correct), "accuracy": asdict(accuracy(correct))}
    if base and tuned:
        report["differences"]["tuned-base"] = asdict(paired_difference(tuned, base))
    return report
