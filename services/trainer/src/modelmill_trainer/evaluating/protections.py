"""Which of the protected figures got worse than they may."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from modelmill_evaluation.score_names import LOWER_IS_BETTER

from modelmill_trainer.domain.evaluation_plan import Protected

ROUNDING = 1e-12
"""A figure that is just what it may be is good enough."""


def judged(
    protections: Sequence[Protected], suites: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each protection with what was measured, whether it holds, and why not.

    The measured value decides, not its interval. What was not measured does not hold: nobody knows.
    """
    return [_judged(each, suites) for each in protections]


def _judged(each: Protected, suites: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    measured = _measured(each, suites)
    model = (measured.get("model") or {}).get("value")
    difference = ((measured.get("comparison") or {}).get("difference") or {}).get("value")
    sign = -1 if each.measure in LOWER_IS_BETTER else 1
    faults = []
    if model is None:
        faults.append("no row of it was measured")
    elif each.worst is not None and sign * (model - each.worst) < -ROUNDING:
        faults.append(f"{model:.6g} is worse than {each.worst:g}")
    if each.largest_loss is not None and model is not None:
        if difference is None:
            faults.append("no row of it was measured for both models")
        elif -sign * difference > each.largest_loss + ROUNDING:
            lost = -sign * difference
            faults.append(
                f"{lost:.6g} worse than compare_to, which is more than {each.largest_loss:g}"
            )
    return {
        **asdict(each),
        "value": model,
        "difference": difference,
        "passed": not faults,
        "why": "; ".join(faults),
    }


def _measured(each: Protected, suites: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for suite in suites:
        if each.suite in ("", suite["name"]):
            group = suite
            if each.slice_by:
                group = suite["slices"].get(each.slice_by, {}).get(each.slice_value, {})
            found: Mapping[str, Any] = group.get("measures", {}).get(each.measure, {})
            return found
    return {}
