"""Augmentation interface, and steps that all methods share."""

from collections.abc import Callable, Sequence
from typing import Protocol

import pyarrow as pa
from xxhash import xxh3_64_intdigest

from modelmill_data_prep.domain.augmenting.similarity import SimilarityLimits
from modelmill_data_prep.domain.row_batch import ROWS


class RowMaker(Protocol):
    """Augments rows of the train split."""

    def make(self, rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
        """New rows of `ROWS`, in the order of their original rows.

        Rows are sampled by seed and source hash, independent of batching. A sampled row without a
        result within the similarity limits gives no new row.


        Args:
            rows: Of `ROWS`.
            share: 0 to 1.
            seed: 64 bits.
        """


def chosen_rows(rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
    """Sample about `share` of the rows, by a seeded hash of source and line."""
    limit = round(share * 2**64)
    keys = zip(rows.column("source").to_pylist(), rows.column("line").to_pylist(), strict=True)
    taken = [
        xxh3_64_intdigest(source + line.to_bytes(8, "big"), seed=seed) < limit
        for source, line in keys
    ]
    return rows.filter(pa.array(taken, pa.bool_()))


def rewritten(
    rows: pa.RecordBatch,
    rewrite: Callable[[Sequence[str], Sequence[int]], Sequence[str]],
    limits: SimilarityLimits,
    made_by: str,
) -> pa.RecordBatch:
    """The rows with rewritten user messages; drops rows with a message outside the limits.

    Args:
        rows: Of `ROWS`.
        rewrite: Takes user messages and a random number for each, derived from source and
            position; returns the rewritten messages in order.
        limits: Required similarity of each rewritten message. A message may stay unchanged if
            another one of its row changes.
        made_by: "<name>@<version>".
    """
    records = rows.to_pylist()
    places = [
        (row, turn)
        for row, record in enumerate(records)
        for turn, role in enumerate(record["roles"])
        if role == "user"
    ]
    texts = [records[row]["contents"][turn] for row, turn in places]
    numbers = [xxh3_64_intdigest(records[row]["source"], seed=turn) for row, turn in places]
    new_texts = rewrite(texts, numbers)
    changed: set[int] = set()
    refused: set[int] = set()
    for (row, turn), text, new in zip(places, texts, new_texts, strict=True):
        if new == text:
            continue
        if not new.strip() or not limits.allow(text, new):
            refused.add(row)
        changed.add(row)
        records[row]["contents"][turn] = new
    made = [{**records[row], "made_by": made_by} for row in sorted(changed - refused)]
    return pa.RecordBatch.from_pylist(made, schema=ROWS)
