"""Writes a dataset's `tokens/`: one file for each split, the packs and the plan."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelmill_token_files.tokens_plan import (
    PACKS,
    PACKS_FILE,
    TOKEN_ROWS,
    TOKENS_FOLDER,
    SplitCounts,
    TokensPlan,
    token_file_name,
)

_PACKS_OF_A_BATCH = 10_000


class TokenFolder:
    """Takes the rows of each split block by block, in their order; holds one length for each row.

    Usable as a context: files that were not finished are closed when the block ends, and have no
    plan, so that nobody reads them.

    Args:
        dataset: The dataset's folder, in which `tokens/` is made.
    """

    def __init__(self, dataset: Path) -> None:
        self._dataset = dataset
        self._folder = dataset / TOKENS_FOLDER
        self._folder.mkdir(parents=True)
        self._files: dict[str, _SplitFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()

    def append(self, split: str, rows: pa.RecordBatch) -> None:
        """Write rows of `TOKEN_ROWS` behind those that the split has."""
        if split not in self._files:
            self._files[split] = _SplitFile(self._folder / token_file_name(split))
        self._files[split].append(rows)

    def lengths(self, split: str) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Tokens of each row of a split, in their order."""
        file = self._files.get(split)
        return np.concatenate([np.zeros(0, np.int32), *(file.lengths if file else ())])

    def finish(self, plan: TokensPlan, packs: Iterable[Sequence[int]] = ()) -> TokensPlan:
        """Close the files, write the packs and at last the plan.

        Args:
            plan: Without counts.
            packs: Rows of train in each pack.

        Returns:
            The plan as it was written.
        """
        for file in self._files.values():
            file.close()
        count = _write_packs(self._folder / PACKS_FILE, packs)
        counts = {split: file.counts for split, file in self._files.items()}
        whole = replace(plan, packs=count, splits=counts)
        whole.write(self._dataset)
        return whole


class _SplitFile:
    """An Arrow file that grows by record batches; not compressed, so that it can be mapped."""

    def __init__(self, path: Path) -> None:
        self.counts = SplitCounts()
        self.lengths: list[np.ndarray[Any, np.dtype[np.int32]]] = []
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, TOKEN_ROWS)

    def append(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        self._writer.write_batch(rows)
        lengths = pc.list_value_length(rows.column("ids")).to_numpy()
        self.lengths.append(lengths)
        learned = pc.subtract(rows.column("loss_to").flatten(), rows.column("loss_from").flatten())
        so_far = self.counts
        self.counts = SplitCounts(
            rows=so_far.rows + rows.num_rows,
            tokens=so_far.tokens + int(lengths.sum(dtype=np.int64)),
            learned_tokens=so_far.learned_tokens + (pc.sum(learned).as_py() or 0),
            longest=max(so_far.longest, int(lengths.max())),
        )

    def close(self) -> None:
        if not self._file.closed:
            self._writer.close()
            self._file.close()


def _write_packs(path: Path, packs: Iterable[Sequence[int]]) -> int:
    count = 0
    waiting: list[Sequence[int]] = []
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, PACKS) as writer:

        def write() -> None:
            rows = pa.array(waiting, pa.list_(pa.int64()))
            writer.write_batch(pa.RecordBatch.from_arrays([rows], schema=PACKS))

        for pack in packs:
            waiting.append(pack)
            count += 1
            if len(waiting) == _PACKS_OF_A_BATCH:
                write()
                waiting = []
        if waiting:
            write()
    return count
