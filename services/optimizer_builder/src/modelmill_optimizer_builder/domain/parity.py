"""Whether an exported model is the same function as the model it was exported from."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from modelmill_evaluation.parity.comparison import Limit
from modelmill_evaluation.parity.errors import LOGITS_DIFFER, ParityError

EXPORT_TOLERANCE = 0.001
"""Largest difference of one logit as a share of their standard deviation.

Exports that are right were within 0.00003; what is wrong (a mask, a position, a baked-in shape) is
off by more than 0.1.
"""

QUANTISED_TOLERANCE = 0.3
"""Root mean square difference as a share of the standard deviation.

8-bit weights gave 0.05 to 0.15; unrelated logits give 1.4.
"""


EXACT_LIMIT = Limit(largest_share=0.001, greedy_agreement=0.9)
"""Of base and adapter added, before the sum is rounded: the same numbers in another order."""

ROUNDED_LIMIT = Limit(largest_share=inf, root_mean_square_share=0.5, greedy_agreement=0.5)
"""Of the sum rounded to bf16, which costs what it costs: of a weight up to 0.4 %."""

INT8_LIMIT = Limit(largest_share=inf, root_mean_square_share=0.7, greedy_agreement=0.5)
"""Of 8-bit weights as they are served: bf16 products, 8-bit activations, keys and values. How good
its answers are, scoring says; here a form is caught that no longer is the model at all."""


@dataclass(frozen=True)
class LogitDistance:
    """How far the logits of one position are from those they should be."""

    where: str
    """ "prefill" or "decode": one may be right and the other wrong."""

    largest: float
    root_mean_square: float
    spread: float
    """Standard deviation of the logits that they should be."""


def check_export(distances: Sequence[LogitDistance]) -> None:
    """Accept an export that changed no number by more than rounding.

    Within the tolerance both also choose the same greedy token, but for ties.

    Raises:
        ParityError: LOGITS_DIFFER; names the position and the difference.
    """
    _check(distances, [d.largest for d in distances], EXPORT_TOLERANCE, "exported")


def check_quantised(distances: Sequence[LogitDistance]) -> None:
    """Accept a quantised model that is not broken; how good it is, scoring says.

    Raises:
        ParityError: LOGITS_DIFFER; names the position and the difference.
    """
    sizes = [d.root_mean_square for d in distances]
    _check(distances, sizes, QUANTISED_TOLERANCE, "quantised")


def _check(
    distances: Sequence[LogitDistance], sizes: Sequence[float], tolerance: float, what: str
) -> None:
    for distance, size in zip(distances, sizes, strict=True):
        # Written so that a NaN is refused too.
        if not size <= tolerance * distance.spread:
            raise ParityError(
                LOGITS_DIFFER,
                f"the {what} model's {distance.where} logits differ by {size:.4g} from the merged "
                f"model's, whose standard deviation is {distance.spread:.4g}",
            )
