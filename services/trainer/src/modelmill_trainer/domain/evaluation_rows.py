"""Rows of an evaluation, as its file has them: which match a filter, and pages of these."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_evaluation.score_names import ACCURACY, ACCURACY_NORM, EXACT_MATCH
from modelmill_service_kit.errors import InvalidInputError

EvaluatedRow = Mapping[str, Any]
"""A line of `rows.jsonl`."""
RIGHT_BY = (ACCURACY, ACCURACY_NORM, EXACT_MATCH)
"""Metrics by which a row is right or wrong; the first that it has decides."""
PAGE_BYTES = 1024 * 1024
"""Of a page's rows in the file; a single row may have more."""
DEFAULT_PAGE, MAX_PAGE = 20, 100


@dataclass(frozen=True)
class RowFilter:
    """What a row must be to be shown; empty is anything."""

    suite: str = ""
    wrong: bool = False
    differs: bool = False
    text: str = ""
    slice_by: str = ""
    slice_value: str = ""

    def accepts(self, row: EvaluatedRow) -> bool:
        """Whether all of it applies to a row.

        Raises:
            InvalidInputError: the row has no group of the slice.
        """
        return (
            self.suite in ("", row["suite"])
            and self._is_in_group(row)
            and not (self.wrong and is_right(row["model"]) is not False)
            and not (self.differs and not _differs(row))
            and self.text.casefold() in _text_of(row)
        )

    def _is_in_group(self, row: EvaluatedRow) -> bool:
        if not self.slice_by:
            return True
        groups = row.get("slices") or {}
        if self.slice_by not in groups:
            raise InvalidInputError(
                f"slice_by: the rows have no groups by {self.slice_by[:80]!r}. Evaluate again with"
                " this slice"
            )
        return bool(groups[self.slice_by] == self.slice_value)


@dataclass(frozen=True)
class RowPage:
    """Some rows with their lines, and whether another one matches."""

    rows: Sequence[tuple[int, EvaluatedRow]]
    has_more: bool


def rows_page(lines: Iterable[bytes], after: int, limit: int, wanted: RowFilter) -> RowPage:
    """The first rows behind line `after` that match: at most `limit`, and a megabyte.

    Raises:
        InvalidInputError: the rows have no group of the slice.
    """
    rows: list[tuple[int, EvaluatedRow]] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if number <= after:
            continue
        row = json.loads(line)
        if not wanted.accepts(row):
            continue
        size += len(line)
        if rows and (len(rows) == limit or size > PAGE_BYTES):
            return RowPage(rows, has_more=True)
        rows.append((number, row))
    return RowPage(rows, has_more=False)


def is_right(answer: Mapping[str, Any]) -> bool | None:
    """Whether a model got a row right; None where nothing says so."""
    scores = answer["scores"]
    return next((scores[name] >= 1 for name in RIGHT_BY if name in scores), None)


def _differs(row: EvaluatedRow) -> bool:
    first, second = row["model"], row.get("compare_to")
    if second is None:
        return False
    said = [(each.get("chosen"), each["answer"]) for each in (first, second)]
    return said[0] != said[1]


def _text_of(row: EvaluatedRow) -> str:
    sides = [row["model"], row.get("compare_to") or {}]
    answers = [each.get(name) or "" for each in sides for name in ("answer", "chosen")]
    return "\n".join((row.get("prompt") or "", row["reference"], *answers)).casefold()
