"""Cleaning stage: runs all transforms with a single conversion from and to Arrow."""

from collections.abc import Sequence

import pyarrow as pa

from modelmill_data_prep.domain.flat_lists import as_list, like_lists
from modelmill_data_prep.domain.row_batch import (
    ROWS,
    dropped_rows,
    kept_rows,
    rows_with_equal_answers,
)
from modelmill_data_prep.domain.stages import StageResult, TextTransform


class CleanStage:
    """Runs transforms over all messages and the rejected answer of every row.

    A row with an emptied message is dropped as "clean.<transform>.nothing_left". A pair with equal
    answers is dropped as "clean.same_answers".
    """

    def __init__(self, transforms: Sequence[TextTransform]) -> None:
        self._transforms = tuple(transforms)

    def __call__(self, rows: pa.RecordBatch) -> StageResult:
        """Clean a batch of `ROWS`."""
        contents, rejected = rows.column("contents"), rows.column("rejected")
        turns = as_list(contents.flatten())
        answered = pa.compute.indices_nonzero(rejected.is_valid()).to_pylist()
        row_of = pa.compute.list_parent_indices(contents).to_pylist() + answered
        texts = turns + as_list(rejected.drop_null())
        changes: dict[int, list[str]] = {}
        reasons: list[str | None] = [None] * rows.num_rows
        for transform in self._transforms:
            before, texts = texts, transform(texts)
            # Comparing identical objects is free.
            pairs = enumerate(zip(before, texts, strict=True))
            moved = [place for place, (old, new) in pairs if old != new]
            for place in moved:
                row = row_of[place]
                name = f"{transform.name}@{transform.version}"
                names = changes.setdefault(row, [])
                if name not in names:
                    names.append(name)
                if not texts[place]:
                    reasons[row] = reasons[row] or f"clean.{transform.name}.nothing_left"
        if not changes:
            return StageResult(rows, dropped_rows(rows, reasons))
        after = _with_texts(rows, texts[: len(turns)], answered, texts[len(turns) :], changes)
        for row in rows_with_equal_answers(after):
            reasons[row] = reasons[row] or "clean.same_answers"
        kept = sum(reasons[row] is None for row in changes)
        return StageResult(kept_rows(after, reasons), dropped_rows(rows, reasons), kept)


def _with_texts(
    rows: pa.RecordBatch,
    turns: Sequence[str],
    answered: Sequence[int],
    rejected: Sequence[str],
    changes: dict[int, list[str]],
) -> pa.RecordBatch:
    columns = {name: rows.column(name) for name in ROWS.names}
    columns["contents"] = like_lists(rows.column("contents"), turns)
    if answered:
        all_rejected: list[str | None] = [None] * rows.num_rows
        for row, text in zip(answered, rejected, strict=True):
            all_rejected[row] = text
        columns["rejected"] = pa.array(all_rejected, pa.string())
    all_changes = rows.column("changes").to_pylist()
    for row, names in changes.items():
        all_changes[row] = [*all_changes[row], *names]
    columns["changes"] = pa.array(all_changes, pa.list_(pa.string()))
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=ROWS)
