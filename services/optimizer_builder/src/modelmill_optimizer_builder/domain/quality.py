"""How good a build is beside what it was built from, and whether that is good enough."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelmill_evaluation.intervals import Interval, accuracy, paired_difference


class QualityLossError(Exception):
    """The build loses more right answers than allowed."""


@dataclass(frozen=True)
class Quality:
    """Shares of right answers on the same rows."""

    reference: Interval
    built: Interval
    loss: Interval
    """Reference minus built, paired by row: positive when the build is worse."""


def compare(reference: Sequence[bool], built: Sequence[bool]) -> Quality:
    """Judge two models by which rows each answered rightly.

    Raises:
        ValueError: There are no rows, or not the same number for both.
    """
    return Quality(accuracy(reference), accuracy(built), paired_difference(reference, built))


def refuse_loss(quality: Quality, max_accuracy_loss: float, form: str) -> None:
    """Let a build pass that loses at most `max_accuracy_loss`, a share of all rows.

    The measured loss decides, not its interval: with a few hundred rows the interval of a perfect
    build reaches above any useful limit.

    Raises:
        QualityLossError: It loses more; the message has both accuracies.
    """
    if quality.loss.mean <= max_accuracy_loss:
        return
    raise QualityLossError(
        f"{form} answers {quality.built.mean:.1%} of the test rows rightly, its bf16 reference "
        f"{quality.reference.mean:.1%}: a loss of {quality.loss.mean:.1%}, "
        f"more than the allowed {max_accuracy_loss:.1%}"
    )


def speed_figures(reference: Sequence[float], built: Sequence[float]) -> dict[str, float]:
    """Figures of a version, of tokens per second by round.

    Whatever else the machine does in a round falls on both, so the rounds are compared one by one.
    `speedup_low` and `speedup_high` are the extremes of their ratios: with six rounds, an interval
    that holds the median of many more in 97 of 100 cases. A build is slower when all of it is
    below 1: noise alone makes none slower.
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
