"""How fast a build is beside its source, of rounds in which both took turns."""

import statistics
from collections.abc import Sequence


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
