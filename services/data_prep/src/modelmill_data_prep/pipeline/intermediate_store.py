"""What lies on disk between the passes over the rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from modelmill_data_prep.domain.curriculum.frequency_sketch import FrequencySketch
from modelmill_data_prep.domain.duplicates.exact import ExactDuplicates
from modelmill_data_prep.domain.duplicates.known_groups import KnownGroups
from modelmill_data_prep.domain.duplicates.ordinals import stays
from modelmill_data_prep.domain.duplicates.row_keys import row_keys
from modelmill_data_prep.domain.row_batch import ROWS, one_batch
from modelmill_data_prep.pipeline.disk_decider import DiskDecider, DiskDecisions
from modelmill_data_prep.pipeline.part_files import PartFile, PartWriter
from modelmill_data_prep.pipeline.row_worker import SecondTask
from modelmill_data_prep.pipeline.training_extras import MadeRows, UnitCounts

LOSSES = pa.schema([pa.field("loss", pa.float64(), nullable=False)])
"""Of each of a block's rows of train what a model loses on it; NaN where it cannot tell."""


@dataclass
class Between:
    """Files of blocks, each block at its number, and the decider that hears of the rows."""

    folder: Path
    decider: DiskDecider
    corpus: FrequencySketch | None = None
    """How often units of text occur in all rows, where that counts."""

    @property
    def rows(self) -> Path:
        """Of `ROWS`: what the first pass has left."""
        return self.folder / "rows"

    @property
    def dropped(self) -> Path:
        """Of `DROPPED`: what it has taken out."""
        return self.folder / "out"

    @property
    def made(self) -> Path:
        """Of `ROWS`: what was made of rows; not there where nothing is made."""
        return self.folder / "made"

    @property
    def losses(self) -> Path:
        """Of `LOSSES`; not there where they do not count."""
        return self.folder / "losses"

    def count(self, units: UnitCounts | None) -> None:
        """Add a block's units to the corpus."""
        if units is not None:
            self.corpus = self.corpus or FrequencySketch()
            units.add_to(self.corpus)

    def add_made(self, parts: Iterable[MadeRows], known: KnownGroups) -> Iterator[int]:
        """Add rows that were made of each block, and yield how many those are.

        Those whose group is known say what another row says, and are left out.
        """
        earlier = PartFile(self.made) if self.made.exists() else None
        writing = self.folder / "making"
        with PartWriter(writing, ROWS) as file:
            for block, part in enumerate(parts):
                rows = part.rows.filter(pa.array(~known.contain(part.groups)))
                file.write(rows if earlier is None else one_batch([earlier[block], rows]))
                yield part.rows.num_rows
        writing.rename(self.made)

    def drop_repeats(self, seed: int) -> None:
        """Of made rows that say the same, answer and all, keep the first. Call it once."""
        made, exact, rows_made = PartFile(self.made), ExactDuplicates(self.folder / "made-keys"), 0
        for block in range(len(made)):
            exact.add(row_keys(made[block], seed).exact, rows_made)
            rows_made += made[block].num_rows
        leaders, start = exact.leaders(), 0
        writing = self.folder / "making"
        with PartWriter(writing, ROWS) as file:
            for block in range(len(made)):
                rows = made[block]
                places = np.arange(start, start + rows.num_rows)
                file.write(rows.filter(pa.array(stays(leaders, places))))
                start += rows.num_rows
        writing.rename(self.made)

    def tasks(self, decisions: DiskDecisions) -> Iterator[SecondTask]:
        """The blocks with what was decided about them, and what was found out since then."""
        rows, out = PartFile(self.rows), PartFile(self.dropped)
        made, losses = (
            PartFile(path) if path.exists() else None for path in (self.made, self.losses)
        )
        start = 0
        for block in range(len(rows)):
            batch = rows[block]
            stop = start + batch.num_rows
            verdicts = decisions.verdicts(start, stop)
            extra = None if made is None else made[block]
            lost = None if losses is None else losses[block].column("loss").to_numpy()
            yield SecondTask(batch, out[block], verdicts, extra, self.corpus, lost)
            start = stop
