"""What a stage is: a pure function on batches of rows.

The same rows give the same rows, whatever else is in the batch and on whichever machine: that is
why a dataset is the same however many processes made it. What needs to know all rows (duplicates,
splits, order) is no stage: stages write down a key for each row, and one place decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from modelmill_data_prep.domain.row_batch import dropped_rows, kept_rows, spoken_texts


@dataclass(frozen=True)
class Passed:
    """What comes out of a stage; every row that went in is in one of the two."""

    rows: pa.RecordBatch
    """Of `ROWS`."""

    dropped: pa.RecordBatch
    """Of `DROPPED`."""

    changed: int = 0
    """Rows whose text is another now."""

    found: Mapping[str, int] = field(default_factory=dict)
    """Entities found, "<type> <what was done>" to number; no values."""


class Stage(Protocol):
    def __call__(self, rows: pa.RecordBatch) -> Passed:
        """Take a batch of `ROWS`."""


class TextTransform(Protocol):
    """Changes texts. Never raises on any text, and doing it twice changes nothing."""

    name: str
    version: int
    """Another one whenever the same text may come out otherwise."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text as it shall be; an empty one takes its row out."""


class RowRule(Protocol):
    """Says which rows are not wanted. Never raises on any text."""

    name: str

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        """For each row, given as what is said in it: the rule that it breaks ("characters.min")."""


class RuleStage:
    """A rule on rows as a stage."""

    def __init__(self, rule: RowRule) -> None:
        self._rule = rule

    def __call__(self, rows: pa.RecordBatch) -> Passed:
        reasons = [
            None if broken is None else f"{self._rule.name}.{broken}"
            for broken in self._rule(spoken_texts(rows))
        ]
        return Passed(kept_rows(rows, reasons), dropped_rows(rows, reasons))
