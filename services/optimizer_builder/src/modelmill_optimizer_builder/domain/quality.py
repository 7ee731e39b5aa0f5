"""Compares the accuracy of a build with its reference, and rejects too large a loss."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelmill_evaluation.intervals import Interval, accuracy, paired_difference

TUNED = "tuned"
"""Name of the model in the trainer's evaluation, which used another engine."""


def tuned_answers(
    record: Mapping[str, Any] | None, choices: Sequence[str], rows: int
) -> list[bool] | None:
    """The trainer's results on the first `rows` test rows; None if it scored other rows or none."""
    if record is None or list(record.get("choices", ())) != list(choices):
        return None
    correct = [bool(row) for row in record.get(TUNED, {}).get("correct", ())]
    return correct[:rows] if 0 < rows <= len(correct) else None


def evaluation_record(
    choices: Sequence[str],
    answers: Mapping[str, Sequence[bool]],
    differences: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Content of the file; also valid without answers.

    Args:
        answers: Correctness of each row, by model; all of the same rows.
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
    """An interval as the metrics `name`, `name_low` and `name_high`."""
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def speed_figures(reference: Sequence[float], built: Sequence[float]) -> dict[str, float]:
    """Metrics of a version, from tokens per second by round.

    Other load in a round affects both, so each round gives one ratio. `speedup_low` and
    `speedup_high` are the extreme ratios: with six rounds, a 97 % confidence interval of the
    median. A build counts as slower only if the whole interval is below 1.
    """
    ratios = [one / other for one, other in zip(built, reference, strict=True)]
    fast, slow = statistics.median(built), statistics.median(reference)
    return {
        "tokens_per_second": fast,
        "tokens_per_second_bf16": slow,
        "speedup": fast / slow,
        "speedup_low": min(ratios),
        "speedup_high": max(ratios),
    }


class QualityLossError(Exception):
    """The build loses more accuracy than allowed."""


@dataclass(frozen=True)
class Quality:
    """Accuracies on the same rows."""

    reference: Interval
    built: Interval
    loss: Interval
    """Reference minus build, paired by row: positive if the build is worse."""


def compare(reference: Sequence[bool], built: Sequence[bool]) -> Quality:
    """Compare two models by the rows that each answered correctly.

    Raises:
        ValueError: There are no rows, or the numbers of rows differ.
    """
    return Quality(accuracy(reference), accuracy(built), paired_difference(reference, built))


def refuse_loss(quality: Quality, max_accuracy_loss: float, form: str) -> None:
    """Reject a build that loses more than `max_accuracy_loss`, a share of all rows.

    The measured loss decides, not its confidence interval: with a few hundred rows even a perfect
    build's interval exceeds any useful limit.

    Raises:
        QualityLossError: It loses more; the message has both accuracies.
    """
    if quality.loss.mean <= max_accuracy_loss:
        return
    raise QualityLossError(
        f"{form} answers {quality.built.mean:.1%} of the test rows correctly, its bf16 reference "
        f"{quality.reference.mean:.1%}: a loss of {quality.loss.mean:.1%}, "
        f"more than the allowed {max_accuracy_loss:.1%}"
    )
