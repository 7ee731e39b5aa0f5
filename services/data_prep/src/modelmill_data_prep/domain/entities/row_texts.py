"""All texts of a batch of rows, also those inside of JSON, flat; and the rows with others."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from modelmill_data_prep.domain.entities.json_texts import (
    leaves,
    read_json,
    with_leaves,
    write_json,
)
from modelmill_data_prep.domain.flat_lists import like_lists
from modelmill_data_prep.domain.row_batch import ROWS


class RowTexts:
    """The contents of all turns, then what their extras hold, then the rejected answers."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._rows = rows
        self._contents = rows.column("contents")
        turns: list[str] = self._contents.flatten().to_pylist()
        rows_of_turns: list[int] = pa.compute.list_parent_indices(self._contents).to_pylist()
        self._turns = len(turns)
        self._extras: list[str | None] = []
        self._trees: list[tuple[int, Any, int]] = []
        """Of each turn with extras its number, the value, and how many texts are in it."""
        self.texts = turns
        self.row_of = rows_of_turns
        """Of each text the number of its row."""
        self._read_extras(rows_of_turns[:])
        rejected = rows.column("rejected")
        self._rejected = pa.compute.indices_nonzero(rejected.is_valid()).to_pylist()
        self.texts += rejected.drop_null().to_pylist()
        self.row_of += self._rejected

    def with_texts(self, texts: Sequence[str], change: str) -> tuple[pa.RecordBatch, list[int]]:
        """The rows with other texts, and the numbers of those of which one differs.

        Args:
            texts: As many as `self.texts`, in its order.
            change: What is added to the changes of a row that differs.
        """
        differs = [new != old for new, old in zip(texts, self.texts, strict=True)]
        rows = sorted({self.row_of[place] for place, one in enumerate(differs) if one})
        if not rows:
            return self._rows, []
        columns = {name: self._rows.column(name) for name in ROWS.names}
        columns["contents"] = like_lists(self._contents, texts[: self._turns])
        rest = iter(texts[self._turns :])
        if self._trees:
            extras = self._written_extras(rest)
            columns["extras"] = like_lists(self._rows.column("extras"), extras)
        if self._rejected:
            rejected = self._rows.column("rejected").to_pylist()
            for row, text in zip(self._rejected, rest, strict=True):
                rejected[row] = text
            columns["rejected"] = pa.array(rejected, pa.string())
        changes = self._rows.column("changes").to_pylist()
        for row in rows:
            changes[row] = [*changes[row], change]
        columns["changes"] = pa.array(changes, pa.list_(pa.string()))
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=ROWS), rows

    def _read_extras(self, rows_of_turns: Sequence[int]) -> None:
        flat = self._rows.column("extras").flatten()
        if flat.null_count == len(flat):
            return
        self._extras = flat.to_pylist()
        for turn, extra in enumerate(self._extras):
            if extra is not None:
                tree = read_json(extra)
                found = list(leaves(tree))
                self._trees.append((turn, tree, len(found)))
                self.texts += found
                self.row_of += [rows_of_turns[turn]] * len(found)

    def _written_extras(self, rest: Iterator[str]) -> list[str | None]:
        extras = list(self._extras)
        for turn, tree, count in self._trees:
            changed = with_leaves(tree, iter(list(islice(rest, count))))
            # JSON that nothing was changed in keeps its bytes.
            if changed != tree:
                extras[turn] = write_json(changed)
        return extras
