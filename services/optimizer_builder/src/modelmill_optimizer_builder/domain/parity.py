"""Tolerances for the logits of exported and quantized models."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from modelmill_evaluation.parity.comparison import Limit
from modelmill_evaluation.parity.goldens import LOGITS_DIFFER, ParityError

EXPORT_TOLERANCE = 0.001
"""Largest difference of a logit, as a share of the logits' standard deviation.

Correct exports measured at most 0.00003. A wrong mask, position or baked-in shape gives more than
0.1.
"""

BF16_TOLERANCE = 0.05
"""The same for a graph in bf16 that is computed in float32: its constants are rounded to bf16."""

QUANTISED_TOLERANCE = 0.3
"""Root mean square difference, as a share of the standard deviation.

int8 weights measured 0.05 to 0.15; unrelated logits give 1.4.
"""

INT4_TOLERANCE = 0.8
"""The same for int4 weights."""

EXACT_LIMIT = Limit(largest_share=0.001, greedy_agreement=0.9)
"""For the float32 merge: the same numbers, summed in another order."""

ROUNDED_LIMIT = Limit(largest_share=inf, root_mean_square_share=0.5, greedy_agreement=0.5)
"""For the merge rounded to bf16, which changes a weight by up to 0.4 %, and for forms that compute
with these weights in float32."""

INT8_LIMIT = Limit(largest_share=inf, root_mean_square_share=0.7, greedy_agreement=0.5)
"""For int8 weights as served: bf16 products, int8 activations, keys and values. It catches a form
that is another model altogether; scoring measures the quality of answers."""

INT4_LIMIT = Limit(largest_share=inf, root_mean_square_share=0.9, greedy_agreement=0.25)
"""For int4 weights as served. Their likeliest tokens differ at more positions than those of int8,
so that this says only that it still is the model; what it loses is measured by scores."""


@dataclass(frozen=True)
class LogitDistance:
    """Difference of the logits of one position from the expected ones."""

    where: str
    """ "prefill" or "decode"; one may be right and the other wrong."""

    largest: float
    root_mean_square: float
    spread: float
    """Standard deviation of the expected logits."""


def check_export(distances: Sequence[LogitDistance], tolerance: float = EXPORT_TOLERANCE) -> None:
    """Accept an export whose logits differ by rounding only.

    Within the tolerance both also choose the same greedy token, except for ties.

    Raises:
        ParityError: LOGITS_DIFFER; names the position and the difference.
    """
    _check(distances, [d.largest for d in distances], tolerance, "exported")


def check_quantised(
    distances: Sequence[LogitDistance], tolerance: float = QUANTISED_TOLERANCE
) -> None:
    """Accept a quantized model that is not broken; scoring measures its quality.

    Raises:
        ParityError: LOGITS_DIFFER; names the position and the difference.
    """
    sizes = [d.root_mean_square for d in distances]
    _check(distances, sizes, tolerance, "quantised")


def _check(
    distances: Sequence[LogitDistance], sizes: Sequence[float], tolerance: float, what: str
) -> None:
    for distance, size in zip(distances, sizes, strict=True):
        # Negated so that NaN is rejected too.
        if not size <= tolerance * distance.spread:
            raise ParityError(
                LOGITS_DIFFER,
                f"the {what} model's {distance.where} logits differ by {size:.4g} from the merged "
                f"model's, whose standard deviation is {distance.spread:.4g}",
            )
