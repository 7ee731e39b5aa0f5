"""Whether an exported model is the same function as the model it was exported from."""

from collections.abc import Sequence
from dataclasses import dataclass

EXPORT_TOLERANCE = 0.001
"""Largest difference of one logit as a share of their standard deviation.

Exports that are right were within 0.00003; what is wrong (a mask, a position, a baked-in shape) is
off by more than 0.1.
"""

QUANTISED_TOLERANCE = 0.3
"""Root mean square difference as a share of the standard deviation.

8-bit weights gave 0.05 to 0.15; unrelated logits give 1.4.
"""


class ParityError(Exception):
    """The exported model computes something else, or reads a text as other tokens."""


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
        ParityError: Names the position and the difference.
    """
    _check(distances, [d.largest for d in distances], EXPORT_TOLERANCE, "exported")


def check_quantised(distances: Sequence[LogitDistance]) -> None:
    """Accept a quantised model that is not broken; how good it is, scoring says.

    Raises:
        ParityError: Names the position and the difference.
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
                f"the {what} model's {distance.where} logits differ by {size:.4g} from the merged "
                f"model's, whose standard deviation is {distance.spread:.4g}"
            )
