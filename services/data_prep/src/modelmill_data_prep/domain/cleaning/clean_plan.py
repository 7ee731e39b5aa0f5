"""Validated cleaning options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

TRANSFORMS = (
    "encoding",
    "markup",
    "unicode",
    "invisible",
    "spaces",
    "boilerplate",
    "repeats",
    "simplified",
    "stop_words",
)
"""All transform names in execution order, independent of the order in a spec."""

STANDARD = ("encoding", "unicode", "invisible", "spaces")
"""Default transforms, which remove nothing that a reader would miss."""


@dataclass(frozen=True)
class CleanPlan:
    """Transforms to run."""

    transforms: tuple[str, ...] = STANDARD
    """Names, in the order of `TRANSFORMS`."""


def plan_clean(spec: Mapping[str, Any]) -> CleanPlan:
    """Validate a `CleanSpec`, given as a mapping.

    Raises:
        InvalidInputError: Names every unknown transform and lists the known ones.
    """
    named = [str(name) for name in spec.get("transforms", ())]
    unknown = [name for name in dict.fromkeys(named) if name not in TRANSFORMS]
    if unknown:
        listed = ", ".join(TRANSFORMS)
        raise InvalidInputError(
            [f"clean: unknown transform {name[:64]!r}. Use {listed}" for name in unknown]
        )
    if not named:
        return CleanPlan()
    return CleanPlan(tuple(name for name in TRANSFORMS if name in named))
