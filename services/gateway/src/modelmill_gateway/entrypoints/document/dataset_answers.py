"""Shapes of what is told about the rows of datasets."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.shape import Answer


class RowStory(Answer):
    """Provenance of a row."""

    line: int
    source_sha256: str
    outcome: Literal["kept", "dropped", "quarantined"]
    rule: str | None
    detail: str | None
    changes: list[str]
    made_by: str | None
    split: str | None
    position: int | None
    row: dict[str, Any] | None


class ExplainedRow(Answer):
    """Provenance of a source row, and of every row made from it."""

    object: Literal["dataset.row"]
    dataset_id: str
    stories: list[RowStory]


class DatasetDiff(Answer):
    """Difference of two datasets, by the content of their rows."""

    object: Literal["dataset.diff"]
    same: bool
    rows_common: int
    rows_moved: int
    rows_removed: int
    rows_added: int
    removed: list[dict[str, Any]]
    added: list[dict[str, Any]]
    spec_changes: list[str]
