"""Cleaning stage: runs all transforms with a single conversion from and to Arrow.

Batch helpers for transforms skip texts that need no change.
"""

import re
from collections.abc import Callable, Sequence

import pyarrow as pa

from modelmill_data_prep.domain.row_batch import (
    ROWS,
    as_list,
    dropped_rows,
    kept_rows,
    like_lists,
    rows_with_equal_answers,
)
from modelmill_data_prep.domain.stages import StageResult, TextTransform

SEPARATOR = "\n"
"""Separator of joined texts; a line feed never composes with neighbouring characters."""

MAX_ROUNDS = 8
"""Limit of repetitions; a text that still changes after them stays in its last form."""


def apply_where(
    texts: Sequence[str], suspicion: re.Pattern[str], change: Callable[[str], str]
) -> list[str]:
    """Apply `change` to the texts that match `suspicion`.

    The joined batch is searched first, because most batches are clean. So `suspicion` must match
    the
    joined texts if it matches one of them.
    """
    if not suspicion.search(SEPARATOR.join(texts)):
        return list(texts)
    return [change(text) if suspicion.search(text) else text for text in texts]


def until_stable(change: Callable[[str], str], text: str) -> str:
    """Apply `change` until the text is stable, which makes it idempotent."""
    for _ in range(MAX_ROUNDS):
        after = change(text)
        if after == text:
            break
        text = after
    return text


class IdempotentTransform:
    """Wrapper that re-runs earlier transforms on changed texts until they are stable.

    A transform can produce input for an earlier one: an HTML entity becomes a zero-width space, or
    two lines become neighbours. The wrapper makes the whole chain idempotent. Unchanged texts cost
    nothing.
    """

    def __init__(self, transform: TextTransform, earlier: Sequence[TextTransform]) -> None:
        self.name = transform.name
        self.version = transform.version
        self._transform = transform
        self._earlier = tuple(earlier)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Transform texts to a fixed point of this and all earlier transforms."""
        result = self._transform(texts)
        moved = _places_of_changes(texts, result)
        for _ in range(MAX_ROUNDS if self._earlier else 0):
            if not moved:
                break
            before = [result[place] for place in moved]
            after = before
            for transform in self._earlier:
                after = transform(after)
            after = self._transform(after)
            for place, text in zip(moved, after, strict=True):
                result[place] = text
            moved = [moved[place] for place in _places_of_changes(before, after)]
        return result


def _places_of_changes(before: Sequence[str], after: Sequence[str]) -> list[int]:
    pairs = zip(before, after, strict=True)
    # Comparing identical objects is free.
    return [place for place, (old, new) in enumerate(pairs) if old != new]


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
