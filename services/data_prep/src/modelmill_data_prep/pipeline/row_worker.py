"""What a worker process does: pure functions from a block to its result.

A worker is made once in each process, from a request that is plain JSON, and then called with one
block after the other. Nothing is kept from one call to the next, so that it does not matter which
worker gets which block, on which machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.curriculum.frequency_sketch import FrequencySketch
from modelmill_data_prep.domain.duplicates.row_keys import RowKeys
from modelmill_data_prep.domain.duplicates.signatures import Signatures
from modelmill_data_prep.domain.lineage.merkle import leaf_hash
from modelmill_data_prep.domain.lineage.row_provenance import STORIES
from modelmill_data_prep.domain.measure import Measure
from modelmill_data_prep.domain.row_batch import (
    DROPPED,
    dropped_rows,
    one_batch,
    spoken_texts,
)
from modelmill_data_prep.domain.single_answers import single_answers
from modelmill_data_prep.domain.stages import Passed, Stage
from modelmill_data_prep.domain.tally import Tally
from modelmill_data_prep.domain.verdicts import KEPT, SPLITS, TRAIN, Verdicts
from modelmill_data_prep.domain.written_rows import WrittenRows, write_rows
from modelmill_data_prep.pipeline.training_extras import (
    MadeRows,
    RowMakers,
    RowTokenizer,
    TrainMeasures,
    UnitCounts,
)


@dataclass(frozen=True)
class SplitPiece:
    """What a block adds to the file of a split."""

    lines: bytes
    rows: int
    leaves: bytes
    """Of each row its leaf in the Merkle tree, one after the other."""

    @classmethod
    def of(cls, written: WrittenRows, places: npt.NDArray[np.intp]) -> "SplitPiece":
        """The rows at `places`, in that order."""
        lines = [written.lines[place] for place in places.tolist()]
        return cls(
            b"".join(line + b"\n" for line in lines), len(lines), b"".join(map(leaf_hash, lines))
        )


def stories_of(
    rows: pa.RecordBatch,
    written: WrittenRows,
    splits: npt.NDArray[np.int8],
    dropped: Sequence[pa.RecordBatch],
) -> pa.RecordBatch:
    """The stories of a block's rows, in the order of their lines.

    Args:
        rows: Those that stay.
        written: The same, as written.
        splits: Of each of them its place in `SPLITS`.
        dropped: Those that do not, by stage.
    """
    kept = _kept_stories(rows, written, splits)
    gone = [_dropped_stories(batch) for batch in dropped]
    table = pa.Table.from_batches([kept, *gone], STORIES)
    ordered = table.take(pa.compute.sort_indices(table.column("line"))).combine_chunks()
    batches = ordered.to_batches()
    return batches[0] if batches else kept


def _kept_stories(
    rows: pa.RecordBatch, written: WrittenRows, splits: npt.NDArray[np.int8]
) -> pa.RecordBatch:
    lengths = np.array([len(line) + 1 for line in written.lines], np.int64)
    positions = np.zeros(len(lengths), np.int64)
    offsets = np.zeros(len(lengths), np.int64)
    for number in range(len(SPLITS)):
        places = np.flatnonzero(splits == number)
        positions[places] = np.arange(len(places))
        offsets[places] = np.cumsum(lengths[places]) - lengths[places]
    count = rows.num_rows
    columns: dict[str, Any] = {
        "line": rows.column("line"),
        "source": rows.column("source"),
        "outcome": pa.array(["kept"] * count, pa.string()),
        "rule": pa.nulls(count, pa.string()),
        "detail": pa.nulls(count, pa.string()),
        "changes": rows.column("changes"),
        "made_by": rows.column("made_by"),
        "split": pa.array([SPLITS[number] for number in splits.tolist()], pa.string()),
        "position": pa.array(positions),
        "offset": pa.array(offsets),
        "length": pa.array(lengths),
        "content": pa.array(written.contents, pa.binary(32)),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in STORIES.names], schema=STORIES)


def _dropped_stories(dropped: pa.RecordBatch) -> pa.RecordBatch:
    count = dropped.num_rows
    columns = {field.name: pa.nulls(count, field.type) for field in STORIES}
    for name in ("line", "source", "outcome", "rule", "detail"):
        columns[name] = dropped.column(name)
    columns["changes"] = pa.array([[]] * count, pa.list_(pa.string()))
    return pa.RecordBatch.from_arrays([columns[name] for name in STORIES.names], schema=STORIES)


_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class BlockKeys:
    """Of each row of a block what rows are compared by."""

    rows: RowKeys
    signatures: Signatures | None
    """None where near duplicates are not looked for."""


class KeyMaker(Protocol):
    def __call__(self, rows: pa.RecordBatch) -> BlockKeys:
        """The keys of a batch of `ROWS`."""


class RowReader(Protocol):
    def __call__(self, block: Block) -> Passed:
        """Parse and map a block's rows."""


class Measurer(Protocol):
    def __call__(self, texts: Sequence[str]) -> Sequence[Measure]:
        """Measure what is said in each row."""


@dataclass(frozen=True)
class FirstPart:
    """A block after the stages that look at each row by itself."""

    rows: pa.RecordBatch
    """Of `ROWS`: those that are still there."""
    dropped: pa.RecordBatch
    """Of `DROPPED`: those that are not."""
    keys: BlockKeys
    tally: Tally
    units: UnitCounts | None
    """None where the order of the rows does not matter."""


@dataclass(frozen=True)
class SecondTask:
    """A block after the first pass, with what was decided about its rows."""

    rows: pa.RecordBatch
    dropped: pa.RecordBatch
    verdicts: Verdicts
    made: pa.RecordBatch | None = None
    """Of `ROWS`: what was made of its rows of train."""
    corpus: FrequencySketch | None = None
    """How often units of text occur in all rows; None where the order does not matter."""
    losses: NDArray[np.float64] | None = None
    """A model's of each row of `train_rows`; None where they do not matter."""

    @property
    def given_train_rows(self) -> pa.RecordBatch:
        """Those that stay and are in train."""
        in_train = (self.verdicts.verdict == KEPT) & (self.verdicts.split == TRAIN)
        return self.rows.filter(pa.array(in_train))

    @property
    def train_rows(self) -> pa.RecordBatch:
        """The same, then those that were made of them."""
        rows, splits = self.staying()
        return rows.filter(pa.array(splits == TRAIN))

    def staying(self) -> tuple[pa.RecordBatch, NDArray[np.int8]]:
        """The rows that stay and those that were made of them, and the split of each."""
        rows = self.rows.filter(pa.array(self.verdicts.verdict == KEPT))
        splits = self.verdicts.split[self.verdicts.verdict == KEPT]
        if self.made is None or not self.made.num_rows:
            return rows, splits
        made = np.full(self.made.num_rows, TRAIN, np.int8)
        return one_batch([rows, self.made]), np.concatenate([splits, made])


@dataclass(frozen=True)
class SecondPart:
    """A block as it is written."""

    pieces: Mapping[str, SplitPiece]
    """By split."""
    quarantine: bytes
    """JSON lines."""
    stories: pa.RecordBatch
    """Of `STORIES`, in the order of the lines; positions and offsets count within the block."""
    tally: Tally
    tokens: Mapping[str, pa.RecordBatch]
    """By split; empty where no token ids are made."""
    train: TrainMeasures | None


@dataclass(frozen=True)
class WorkerParts:
    """What a worker is put together from."""

    read: RowReader
    stages: Sequence[tuple[str, Stage]]
    """Stages by name, in their order."""
    shown: Callable[[pa.RecordBatch], pa.RecordBatch]
    """Of `DROPPED`: the rows as they may be shown in report and quarantine."""
    keys: KeyMaker
    measure: Measurer
    make_rows: RowMakers | None = None
    tokenize: RowTokenizer | None = None
    counts_units: bool = False
    """Whether units of text are counted, for the rarity of rows."""


class RowWorker:
    """Takes blocks through both passes."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    def first(self, block: Block) -> FirstPart:
        """Parse, map, clean and filter a block, and write down the keys of what is left."""
        tally = Tally(rows_in=block.rows.num_rows)
        read = self._parts.read(block)
        rows, dropped = read.rows, [self._parts.shown(read.dropped)]
        tally.add_stage("read", block.rows.num_rows, dropped[-1], 0)
        for name, stage in self._parts.stages:
            passed = stage(rows)
            dropped.append(self._parts.shown(passed.dropped))
            tally.add_stage(name, rows.num_rows, dropped[-1], passed.changed)
            tally.entities.update(passed.found)
            rows = passed.rows
        units = UnitCounts.of(rows) if self._parts.counts_units else None
        keys = self._parts.keys(rows)
        return FirstPart(rows, one_batch(dropped, DROPPED), keys, tally, units)

    def make(self, task: SecondTask) -> MadeRows:
        """Make rows of those of a block that are in train."""
        assert self._parts.make_rows is not None
        return self._parts.make_rows(task.given_train_rows)

    def vet(self, rows: pa.RecordBatch) -> MadeRows:
        """Take rows that a model has written through the stages, as the rows given were."""
        for _, stage in self._parts.stages:
            rows = stage(rows).rows
        return MadeRows(rows, self._parts.keys(rows).rows.group)

    def second(self, task: SecondTask) -> SecondPart:
        """Write the rows that stay, and the stories of all."""
        tally = Tally()
        reasons = task.verdicts.reasons()
        gone = dropped_rows(task.rows, reasons, details=task.verdicts.details())
        tally.add_stage("duplicates", task.rows.num_rows, gone, 0)
        rows, splits = task.staying()
        losses = _of_all(task.losses, splits)
        lost = [task.dropped, gone]
        tokens: Mapping[str, pa.RecordBatch] = {}
        if self._parts.tokenize is not None:
            encoded = self._parts.tokenize(rows, splits)
            tally.add_stage("tokenize", rows.num_rows, encoded.dropped, 0)
            tally.turns_not_learned += encoded.turns_not_learned
            rows, splits, tokens = encoded.rows, encoded.splits, encoded.tokens
            losses = None if losses is None else losses[encoded.stays]
            lost.append(encoded.dropped)
        self._measure(rows, tally)
        written = write_rows(rows)
        pieces = {
            name: SplitPiece.of(written, np.flatnonzero(splits == number))
            for number, name in enumerate(SPLITS)
        }
        stories = stories_of(rows, written, splits, lost)
        train = None
        if task.corpus is not None:
            train = TrainMeasures.of(rows, splits == TRAIN, task.corpus, losses)
        quarantine = b"".join(map(_quarantine, lost))
        return SecondPart(pieces, quarantine, stories, tally, tokens, train)

    def _measure(self, rows: pa.RecordBatch, tally: Tally) -> None:
        texts = spoken_texts(rows)
        tally.add_kept(self._parts.measure(texts), map(len, texts), single_answers(rows))
        tally.rows_made += rows.num_rows - rows.column("made_by").null_count


def _of_all(
    losses: NDArray[np.float64] | None, splits: NDArray[np.int8]
) -> NDArray[np.float64] | None:
    """The losses of rows of train among those of all rows, which have none."""
    if losses is None:
        return None
    of_all = np.full(len(splits), np.nan)
    of_all[splits == TRAIN] = losses
    return of_all


def _quarantine(dropped: pa.RecordBatch) -> bytes:
    rows = dropped.filter(pa.compute.equal(dropped.column("outcome"), "quarantined"))
    return b"".join(
        _ENCODE({"line": row["line"], "reason": row["detail"] or row["rule"], "raw": row["sample"]})
        + b"\n"
        for row in rows.to_pylist()
    )
