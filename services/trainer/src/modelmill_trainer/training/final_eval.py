"""Base and tuned model on the test split, asked the same questions by the same code."""

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
"""Enough to fill the matrix products; more only makes the attention's share grow."""


def sit_exam(
    model: TrainedModel, questions: Sequence[ChoiceQuestion], port: ChildPort, *, phase: str
) -> list[bool]:
    """Which questions `model` answers rightly.

    Raises:
        Preempted: told to stop; nothing of it is kept.
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


def exam_report(
    choices: Sequence[str], base: Sequence[bool] | None, tuned: Sequence[bool] | None
) -> dict[str, Any]:
    """The content of evaluation.json; without results when the test split was not scored."""
    report: dict[str, Any] = {"choices": list(choices), "rows": len(tuned or ()), "differences": {}}
    for name, correct in (("base", base), ("tuned", tuned)):
        if correct:
            report[name] = {"correct": list(correct), "accuracy": asdict(accuracy(correct))}
    if base and tuned:
        report["differences"]["tuned-base"] = asdict(paired_difference(tuned, base))
    return report
