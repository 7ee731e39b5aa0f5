"""Parity of weights: each tensor of a form, dequantised, beside the source's.

Logits do not show all damage: one layer of zeros among thirty changes them by less than four bits a
weight do. Its own tensor shows it at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelmill_evaluation.parity.goldens import (
    HEAD_CONTRADICTS,
    TENSOR_SCALED,
    TENSOR_ZEROED,
    WEIGHTS_DIFFER,
    ParityError,
)

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class WeightLimit:
    """What rounding may change in a tensor."""

    error: float
    """Largest root mean square error, as a share of the tensor's root mean square."""
    factor: float = 0.02
    """Largest deviation of the factor between both from 1; rounding moves weights, but no mean."""


def check_tensor(
    name: str, source: Weights, found: Weights, limit: WeightLimit, *, form: str
) -> float:
    """Accept a tensor that is the source's but for rounding; gives its relative error.

    Raises:
        ParityError: TENSOR_ZEROED, TENSOR_SCALED or WEIGHTS_DIFFER; names the tensor.
    """
    if source.shape != found.shape:
        raise ParityError(
            WEIGHTS_DIFFER,
            f"the tensor {name!r} of {form} has the shape {_words(found)}, the source's "
            f"{_words(source)}",
        )
    wanted, given = source.ravel(), found.ravel()
    power = float(np.dot(wanted, wanted))
    if not given.any():
        if power:
            raise ParityError(TENSOR_ZEROED, f"the tensor {name!r} of {form} is all zeros")
        return 0.0
    if not power:
        raise ParityError(
            WEIGHTS_DIFFER, f"the tensor {name!r} of {form} is not all zeros, the source's is"
        )
    error = _size(given - wanted) / _size(wanted)
    factor = float(np.dot(wanted, given)) / power
    # Negated so that NaN is refused too.
    if error <= limit.error and abs(factor - 1) <= limit.factor:
        return error
    rest = _size(given - np.float32(factor) * wanted) / _size(given)
    if abs(factor - 1) > limit.factor and rest <= limit.error:
        raise ParityError(
            TENSOR_SCALED, f"the tensor {name!r} of {form} is {factor:.3g} times the source's"
        )
    raise ParityError(
        WEIGHTS_DIFFER,
        f"the tensor {name!r} of {form} differs from the source's by {error:.3g} of its size, more "
        f"than {limit.error:g}",
    )


def check_head(
    *, is_tied: bool, embedding: Weights | None, head: Weights | None, form: str
) -> None:
    """Accept an output layer that is as the config says: the embedding, or one of its own.

    Args:
        is_tied: What the config says.
        embedding: As stored, where it is compared.
        head: As stored; None if there is none.

    Raises:
        ParityError: HEAD_CONTRADICTS.
    """
    if not is_tied and head is None:
        raise ParityError(
            HEAD_CONTRADICTS,
            f"the config of {form} says that its output layer has weights of its own, and it holds "
            "none",
        )
    if is_tied and head is not None and not _same(head, embedding):
        raise ParityError(
            HEAD_CONTRADICTS,
            f"the config of {form} says that its output layer is the embedding, and it holds one "
            "of other weights",
        )


def _same(one: Weights, other: Weights | None) -> bool:
    return other is not None and bool(np.array_equal(one, other))


def _size(values: Weights) -> float:
    return float(np.sqrt(np.dot(values, values)))


def _words(values: Weights) -> str:
    return " x ".join(map(str, values.shape))
