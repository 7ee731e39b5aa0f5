"""Intermediate store: blocks on disk between the passes of a dataset job, read by number."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from modelmill_data_prep.domain.curriculum.text_units import FrequencySketch
from modelmill_data_prep.domain.duplicates.disk_arrays import is_leader
from modelmill_data_prep.domain.duplicates.exact import ExactDuplicates, KnownGroups
from modelmill_data_prep.domain.duplicates.row_keys import row_keys
from modelmill_data_prep.domain.row_batch import ROWS, one_batch
from modelmill_data_prep.pipeline.disk_decider import DiskDecider, DiskDecisions
from modelmill_data_prep.pipeline.row_worker import SecondTask
from modelmill_data_prep.pipeline.training_extras import MadeRows, UnitCounts


class BlockFileWriter:
    """Appends batches of one schema.

    Args:
        compression: Arrow codec of the buffers; None for files that are read soon and removed.
    """

    def __init__(self, path: Path, schema: pa.Schema, compression: str | None = None) -> None:
        self._file = pa.OSFile(str(path), "wb")
        options = pa.ipc.IpcWriteOptions(compression=compression)
        self._writer = pa.ipc.new_file(self._file, schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a block, which may be empty."""
        self._writer.write_batch(batch)

    def __enter__(self) -> "BlockFileWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        self._file.close()


class BlockFile:
    """Reads single blocks on demand."""

    def __init__(self, path: Path) -> None:
        # Not memory-mapped: touched pages would count as this process' memory.
        self._reader = pa.ipc.open_file(pa.OSFile(str(path), "rb"))

    def __len__(self) -> int:
        blocks: int = self._reader.num_record_batches
        return blocks

    def __getitem__(self, block: int) -> pa.RecordBatch:
        return self._reader.get_batch(block)


LOSSES = pa.schema([pa.field("loss", pa.float64(), nullable=False)])
"""Loss of each train row of a block; NaN if unknown."""


@dataclass
class IntermediateStore:
    """Block files, the decider, and corpus statistics."""

    folder: Path
    decider: DiskDecider
    corpus: FrequencySketch | None = None
    """Unit frequencies of all rows; None if not needed."""

    @property
    def rows(self) -> Path:
        """Rows after the first pass, schema `ROWS`."""
        return self.folder / "rows"

    @property
    def dropped(self) -> Path:
        """Rows removed by the first pass, schema `DROPPED`."""
        return self.folder / "out"

    @property
    def made(self) -> Path:
        """Augmented rows, schema `ROWS`; absent without augmentation."""
        return self.folder / "made"

    @property
    def losses(self) -> Path:
        """Losses, schema `LOSSES`; absent if not needed."""
        return self.folder / "losses"

    def count(self, units: UnitCounts | None) -> None:
        """Add a block's unit counts to the corpus."""
        if units is not None:
            self.corpus = self.corpus or FrequencySketch()
            units.add_to(self.corpus)

    def add_made(self, parts: Iterable[MadeRows], known: KnownGroups) -> Iterator[int]:
        """Add augmented rows per block, and yield their number before filtering.

        Rows whose group is known duplicate another row, and are left out.
        """
        earlier = BlockFile(self.made) if self.made.exists() else None
        writing = self.folder / "making"
        with BlockFileWriter(writing, ROWS) as file:
            for block, part in enumerate(parts):
                rows = part.rows.filter(pa.array(~known.contain(part.groups)))
                file.write(rows if earlier is None else one_batch([earlier[block], rows]))
                yield part.rows.num_rows
        writing.rename(self.made)

    def drop_repeats(self, seed: int) -> None:
        """Deduplicate augmented rows exactly, keeping the first. Call once."""
        made, exact, rows_made = BlockFile(self.made), ExactDuplicates(self.folder / "made-keys"), 0
        for block in range(len(made)):
            exact.add(row_keys(made[block], seed).exact, rows_made)
            rows_made += made[block].num_rows
        leaders, start = exact.leaders(), 0
        writing = self.folder / "making"
        with BlockFileWriter(writing, ROWS) as file:
            for block in range(len(made)):
                rows = made[block]
                places = np.arange(start, start + rows.num_rows)
                file.write(rows.filter(pa.array(is_leader(leaders, places))))
                start += rows.num_rows
        writing.rename(self.made)

    def tasks(self, decisions: DiskDecisions) -> Iterator[SecondTask]:
        """Tasks of the second pass: blocks with decisions, augmented rows and losses."""
        rows, out = BlockFile(self.rows), BlockFile(self.dropped)
        made, losses = (
            BlockFile(path) if path.exists() else None for path in (self.made, self.losses)
        )
        start = 0
        for block in range(len(rows)):
            batch = rows[block]
            stop = start + batch.num_rows
            row_decisions = decisions.row_decisions(start, stop)
            extra = None if made is None else made[block]
            lost = None if losses is None else losses[block].column("loss").to_numpy()
            yield SecondTask(batch, out[block], row_decisions, extra, self.corpus, lost)
            start = stop
