"""Verdict whether training gave back what pruning took, by paired intervals."""

from collections.abc import Mapping
from typing import Any

PRUNED = "pruned"
"""`method` of a version that parts were cut away from."""
RECOVERED_WITHIN = 0.03
"""Points behind the whole model, as a share, that the interval must exclude more of."""
RECOVERED, IMPROVED, WORSE, UNDECIDED = "recovered", "improved", "worse", "undecided"


def assess_recovery(
    gain: Mapping[str, float] | None, left: Mapping[str, float] | None
) -> dict[str, Any]:
    """`verdict`, `gain` and `left`, for the summary of the run; empty if nothing was measured.

    Args:
        gain: Score minus the pruned model's: `mean`, and `low` and `high` of the 95 % interval.
        left: Score minus the whole model's.
    """
    if gain is None:
        return {}
    if gain["high"] < 0:
        verdict = WORSE
    elif left is not None and left["low"] >= -RECOVERED_WITHIN:
        verdict = RECOVERED
    else:
        verdict = IMPROVED if gain["low"] > 0 else UNDECIDED
    return {"verdict": verdict, "gain": dict(gain)} | ({"left": dict(left)} if left else {})
