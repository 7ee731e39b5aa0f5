"""How good a build is beside what it was built from, and whether that is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass

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
