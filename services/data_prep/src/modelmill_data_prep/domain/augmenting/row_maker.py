"""What makes rows from rows, and what all ways have in common."""

from collections.abc import Callable, Sequence
from typing import Protocol

import pyarrow as pa
from xxhash import xxh3_64_intdigest

from modelmill_data_prep.domain.augmenting.similarity import SimilarityLimits
from modelmill_data_prep.domain.row_batch import ROWS


class RowMaker(Protocol):
    """Makes rows from rows of the train split."""

    def make(self, rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
        """New rows of `ROWS`, in the order of the rows that they were made from.

        Which rows are chosen depends on the seed and the source of each row alone, so about
        `share` of them are, in every batching. A chosen row of which nothing can be made, or
        nothing that is similar enough and different enough, gives no new row.

        Args:
            rows: Of `ROWS`.
            share: 0 to 1.
            seed: 64 bits.
        """


def chosen_rows(rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
    """About `share` of the rows, those whose source and line come first under the seed."""
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
    """The rows with other user turns, without those of which a turn is not within the limits.

    Args:
        rows: Of `ROWS`.
        rewrite: Given user turns and a number for each that it may decide by, which the row's
            source and the turn's place in it make; returns each turn anew, in order.
        limits: For each turn and for what was made of it. A turn may stay the same, if another
            turn of its row does not.
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
