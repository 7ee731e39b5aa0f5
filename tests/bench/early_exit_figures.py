"""Entries of compression.exit.*, from what its cell kept."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from modelmill_evaluation.intervals import paired_difference

from tests.bench.figures import Entry
from tests.bench.forms_figures import paired_ratio

WHOLE_SCORE = "the model as it was, all layers, same rows"


def exit_entries(result: Mapping[str, Any]) -> Iterator[Entry]:
    """What exits cost, and what they save.

    Args:
        result: Of `early_exit_child`.
    """
    layers: Sequence[int] = result["layers"]
    whole = result["untrained"][-1]
    before = {layer: fmean(right) for layer, right in zip(layers, result["untrained"], strict=True)}
    for layer, right in zip(layers, result["trained"], strict=True):
        name = "whole" if layer == layers[-1] else str(layer)
        said = (
            f"all answers leave at layer {layer}; {100 * before[layer]:.1f} % before it learned to"
        )
        yield _points(name, right, whole, said)
    left: Sequence[int] = result["left"]
    by_layer = dict(zip(layers, result["trained"], strict=True))
    adaptive = [by_layer[layer][row] for row, layer in enumerate(left)]
    shares = ", ".join(
        f"{100 * left.count(layer) / len(left):.0f} % at {layer}" for layer in layers
    )
    yield _points("adaptive", adaptive, whole, f"confidence {result['confidence']:g}; {shares}")
    yield _speed(result, fmean(left), layers[-1])


def _points(name: str, right: Sequence[bool], whole: Sequence[bool], said: str) -> Entry:
    found = paired_difference(whole, right)
    score = fmean(whole)
    return Entry(
        *(f"compression.exit.{name}", 100 * found.mean, "points lost", WHOLE_SCORE),
        *(fmean(right) / score, "", None, (1 - found.high / score, 1 - found.low / score)),
        f"{100 * fmean(right):.1f} beside {100 * score:.1f} % of {len(whole)} test rows; lost "
        f"{100 * found.low:.2f} to {100 * found.high:.2f} points, paired by row; {said}",
    )


def _speed(result: Mapping[str, Any], mean_layer: float, last: int) -> Entry:
    with_exits, without = (result["seconds"][name] for name in ("adaptive", "whole"))
    ratio, low, high = paired_ratio(without, with_exits)
    return Entry(
        *("compression.exit.speed", 1000 * median(with_exits), "ms an answer, in torch"),
        *("the same model without exits", ratio, "", None, (low, high)),
        f"{len(without)} rows, one in flight; {mean_layer:.1f} of {last} layers on average; "
        f"{result['same']} of {len(without)} answers as at once; learned in "
        f"{result['train_seconds'] / 60:.1f} minutes",
    )
