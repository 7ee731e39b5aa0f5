"""Pipeline stages: pure functions on batches of rows.

Results do not depend on batching or machine, so a dataset is the same with any number of processes.
Dataset-wide decisions (duplicates, splits, order) are not stages: workers compute keys per row, and
one process decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from modelmill_data_prep.domain.row_batch import dropped_rows, kept_rows, texts_without_system


@dataclass(frozen=True)
class StageResult:
    """Output of a stage; every input row is in `rows` or in `dropped`."""

    rows: pa.RecordBatch
    """Kept rows, schema `ROWS`."""

    dropped: pa.RecordBatch
    """Removed rows, schema `DROPPED`."""

    changed: int = 0
    """Number of rows with changed text."""

    found: Mapping[str, int] = field(default_factory=dict)
    """Count of entities by "<type> <action>"."""


class Stage(Protocol):
    def __call__(self, rows: pa.RecordBatch) -> StageResult:
        """Process a batch of `ROWS`."""


class TextTransform(Protocol):
    """Idempotent text transform that never raises."""

    name: str
    version: int
    """Must change whenever the output for any text may change."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Transform texts; an empty result drops the row."""


class RowRule(Protocol):
    """Rule that selects rows to drop; never raises."""

    name: str

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        """Violated rule of each text, such as "characters.min", or None."""


class RuleStage:
    """Adapts a row rule to a stage."""

    def __init__(self, rule: RowRule) -> None:
        self._rule = rule

    def __call__(self, rows: pa.RecordBatch) -> StageResult:
        reasons = [
            None if broken is None else f"{self._rule.name}.{broken}"
            for broken in self._rule(texts_without_system(rows))
        ]
        return StageResult(kept_rows(rows, reasons), dropped_rows(rows, reasons))
