"""What a caller wants done about rows that say the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

MIN_THRESHOLD = 0.4
"""Below, texts meet that share next to nothing, and most rows would have to be compared."""

MAX_EVALUATION_FILES = 16


@dataclass(frozen=True)
class DuplicatesPlan:
    """A part of a spec with nothing wrong in it, defaults filled in."""

    keep_exact: bool = False
    near_threshold: float = 0.0
    """0 means off."""

    evaluation_file_ids: tuple[str, ...] = ()
    contamination_threshold: float = 0.0
    """0 means equal rows only."""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """At which signatures are compared; without any none are needed."""
        wanted = {self.near_threshold, self.contamination_threshold}
        return tuple(sorted(one for one in wanted if one > 0))


def plan_duplicates(spec: Mapping[str, Any]) -> DuplicatesPlan:
    """Check a `modelmill.data_prep.v1.DuplicateSpec` given as a mapping with its field names.

    Raises:
        InvalidInputError: Everything that is wrong with it.
    """
    errors: list[str] = []
    thresholds = {
        field: float(spec.get(field, 0)) for field in ("near_threshold", "contamination_threshold")
    }
    errors += [
        f"duplicates: {field} must be 0 or between {MIN_THRESHOLD:g} and 1, got {value:g}"
        for field, value in thresholds.items()
        if value != 0 and not MIN_THRESHOLD <= value <= 1
    ]
    keep_exact = bool(spec.get("keep_exact", False))
    if keep_exact and thresholds["near_threshold"]:
        errors.append("duplicates: give either keep_exact or near_threshold, not both")
    files = [str(one) for one in spec.get("evaluation_file_ids", [])]
    if "" in files:
        errors.append("duplicates: an id in evaluation_file_ids is empty")
    errors += [
        f"duplicates: evaluation_file_ids names {file[:64]!r} more than once"
        for file in dict.fromkeys(files)
        if file and files.count(file) > 1
    ]
    if len(files) > MAX_EVALUATION_FILES:
        errors.append(f"duplicates: evaluation_file_ids has more than {MAX_EVALUATION_FILES} files")
    if errors:
        raise InvalidInputError(errors)
    return DuplicatesPlan(keep_exact=keep_exact, evaluation_file_ids=tuple(files), **thresholds)
