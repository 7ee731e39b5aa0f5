"""Which transforms tidy the texts of a dataset."""

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
"""All names, in the order in which they run, whatever the order in a spec."""

STANDARD = ("encoding", "unicode", "invisible", "spaces")
"""What runs when a spec names none: nothing that a reader would miss."""


@dataclass(frozen=True)
class CleanPlan:
    """Transforms to run."""

    transforms: tuple[str, ...] = STANDARD
    """Names, in the order of `TRANSFORMS`."""


def plan_clean(spec: Mapping[str, Any]) -> CleanPlan:
    """Check a `CleanSpec` given as a mapping with its field names.

    Raises:
        InvalidInputError: Names every unknown transform and lists the known ones.
    """
    named = [str(name) for name in spec.get("transforms", ())]
    unknown = [name for name in dict.fromkeys(named) if name not in TRANSFORMS]
    if unknown:
        listed = ", ".join(TRANSFORMS)
        raise InvalidInputError(
            [f"clean: unknown transform {name[:64]!r}; there are {listed}" for name in unknown]
        )
    if not named:
        return CleanPlan()
    return CleanPlan(tuple(name for name in TRANSFORMS if name in named))
