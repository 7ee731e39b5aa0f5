"""Validated deduplication and contamination options."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

MIN_THRESHOLD = 0.4
"""Lower thresholds would make nearly all pairs candidates."""

MAX_EVALUATION_FILES = 16


@dataclass(frozen=True)
class DuplicatesPlan:
    """Validated options with defaults."""

    keep_exact: bool = False
    near_threshold: float = 0.0
    """0 means off."""

    evaluation_file_ids: tuple[str, ...] = ()
    contamination_threshold: float = 0.0
    """0 for exact matches only."""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Thresholds that need signatures."""
        wanted = {self.near_threshold, self.contamination_threshold}
        return tuple(sorted(one for one in wanted if one > 0))


def plan_duplicates(spec: Mapping[str, Any]) -> DuplicatesPlan:
    """Validate a `modelmill.data_prep.v1.DuplicateSpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
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
        for file, count in Counter(files).items()
        if file and count > 1
    ]
    if len(files) > MAX_EVALUATION_FILES:
        errors.append(f"duplicates: evaluation_file_ids has more than {MAX_EVALUATION_FILES} files")
    if errors:
        raise InvalidInputError(errors)
    return DuplicatesPlan(keep_exact=keep_exact, evaluation_file_ids=tuple(files), **thresholds)
