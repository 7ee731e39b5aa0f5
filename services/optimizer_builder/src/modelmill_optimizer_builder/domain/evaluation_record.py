"""evaluation.json: which rows each model answered rightly, and what follows from that."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from modelmill_evaluation.intervals import Interval, accuracy, paired_difference

TUNED = "tuned"
"""What the trainer called the model in its own evaluation, with its own engine."""


def tuned_answers(
    record: Mapping[str, Any] | None, choices: Sequence[str], rows: int
) -> list[bool] | None:
    """The trainer's verdict on the first `rows` test rows; None when it judged others, or none."""
    if record is None or list(record.get("choices", ())) != list(choices):
        return None
    correct = [bool(row) for row in record.get(TUNED, {}).get("correct", ())]
    return correct[:rows] if 0 < rows <= len(correct) else None


def evaluation_record(
    choices: Sequence[str],
    answers: Mapping[str, Sequence[bool]],
    differences: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """The file's content; with no answers it says that nothing was scored.

    Args:
        answers: By model, one verdict for each row; all of the same rows.
        differences: Pairs of models, the second subtracted from the first.
    """
    rows = max((len(correct) for correct in answers.values()), default=0)
    models = {
        name: {"correct": list(correct), "accuracy": asdict(accuracy(correct))}
        for name, correct in answers.items()
    }
    return {
        "choices": list(choices),
        "rows": rows,
        **models,
        "differences": {
            f"{first}-{second}": asdict(paired_difference(answers[first], answers[second]))
            for first, second in differences
        },
    }


def interval_figures(name: str, interval: Interval) -> dict[str, float]:
    """`name`, `name_low` and `name_high`, as metrics of a version carry an interval."""
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
