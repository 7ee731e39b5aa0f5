"""Row worker: the per-block steps of both passes, as pure functions.

A worker is created once per process from a JSON request. It keeps no state between calls, so any
worker on any machine can process any block.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.curriculum.text_units import FrequencySketch
from modelmill_data_prep.domain.duplicates.row_keys import RowKeys, Signatures
from modelmill_data_prep.domain.lineage.merkle import leaf_hash
from modelmill_data_prep.domain.lineage.row_provenance import PROVENANCE
from modelmill_data_prep.domain.row_batch import (
    DROPPED,
    classification_answers,
    dropped_rows,
    one_batch,
    texts_without_system,
)
from modelmill_data_prep.domain.row_decisions import KEPT, SPLITS, TRAIN, RowDecisions
from modelmill_data_prep.domain.stages import Stage, StageResult
from modelmill_data_prep.domain.tally import Tally, TextLength
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
    """A block's contribution to a split's file."""

    lines: bytes
    rows: int
    leaves: bytes
    """Concatenated Merkle tree leaves."""

    @classmethod
    def of(cls, written: WrittenRows, places: npt.NDArray[np.intp]) -> "SplitPiece":
        """Select rows by index."""
        lines = [written.lines[place] for place in places.tolist()]
        return cls(
            b"".join(line + b"\n" for line in lines), len(lines), b"".join(map(leaf_hash, lines))
        )


def provenance_of(
    rows: pa.RecordBatch,
    written: WrittenRows,
    splits: npt.NDArray[np.int8],
    dropped: Sequence[pa.RecordBatch],
) -> pa.RecordBatch:
    """Provenance records of a block, sorted by line.

    Args:
        rows: Kept rows.
        written: The same rows, serialised.
        splits: Split number of each kept row.
        dropped: Removed rows, by stage.
    """
    kept = _kept_provenance(rows, written, splits)
    gone = [_dropped_provenance(batch) for batch in dropped]
    table = pa.Table.from_batches([kept, *gone], PROVENANCE)
    ordered = table.take(pa.compute.sort_indices(table.column("line"))).combine_chunks()
    batches = ordered.to_batches()
    return batches[0] if batches else kept


def _kept_provenance(
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
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in PROVENANCE.names], schema=PROVENANCE
    )


def _dropped_provenance(dropped: pa.RecordBatch) -> pa.RecordBatch:
    count = dropped.num_rows
    columns = {field.name: pa.nulls(count, field.type) for field in PROVENANCE}
    for name in ("line", "source", "outcome", "rule", "detail"):
        columns[name] = dropped.column(name)
    columns["changes"] = pa.array([[]] * count, pa.list_(pa.string()))
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in PROVENANCE.names], schema=PROVENANCE
    )


_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class BlockKeys:
    """Comparison keys of a block's rows."""

    rows: RowKeys
    signatures: Signatures | None
    """None if no near duplicates are searched."""


@dataclass(frozen=True)
class FirstPart:
    """Result of the first pass for a block."""

    rows: pa.RecordBatch
    """Kept rows, schema `ROWS`."""
    dropped: pa.RecordBatch
    """Removed rows, schema `DROPPED`."""
    keys: BlockKeys
    tally: Tally
    units: UnitCounts | None
    """Unit counts; None without a curriculum."""


@dataclass(frozen=True)
class SecondTask:
    """Input of the second pass for a block."""

    rows: pa.RecordBatch
    dropped: pa.RecordBatch
    row_decisions: RowDecisions
    made: pa.RecordBatch | None = None
    """Augmented rows of the block, schema `ROWS`."""
    corpus: FrequencySketch | None = None
    """Unit frequencies of the corpus; None without a curriculum."""
    losses: NDArray[np.float64] | None = None
    """Loss of each row of `train_rows`; None if not used."""

    @property
    def given_train_rows(self) -> pa.RecordBatch:
        """Kept original rows of the train split."""
        in_train = (self.row_decisions.verdict == KEPT) & (self.row_decisions.split == TRAIN)
        return self.rows.filter(pa.array(in_train))

    @property
    def train_rows(self) -> pa.RecordBatch:
        """Kept original rows of the train split, then augmented ones."""
        rows, splits = self.staying()
        return rows.filter(pa.array(splits == TRAIN))

    def staying(self) -> tuple[pa.RecordBatch, NDArray[np.int8]]:
        """Kept and augmented rows, and the split of each."""
        rows = self.rows.filter(pa.array(self.row_decisions.verdict == KEPT))
        splits = self.row_decisions.split[self.row_decisions.verdict == KEPT]
        if self.made is None or not self.made.num_rows:
            return rows, splits
        made = np.full(self.made.num_rows, TRAIN, np.int8)
        return one_batch([rows, self.made]), np.concatenate([splits, made])


@dataclass(frozen=True)
class SecondPart:
    """Result of the second pass for a block."""

    pieces: Mapping[str, SplitPiece]
    """Serialised rows by split."""
    quarantine: bytes
    """JSON lines."""
    provenance: pa.RecordBatch
    """Of `PROVENANCE`, in the order of the lines; positions and offsets count within the block."""
    tally: Tally
    tokens: Mapping[str, pa.RecordBatch]
    """Token rows by split; empty without tokenization."""
    train: TrainMeasures | None


@dataclass(frozen=True)
class WorkerParts:
    """Components of a worker."""

    read: Callable[[Block], StageResult]
    """Parses and maps the rows of a block."""

    stages: Sequence[tuple[str, Stage]]
    """(Name, stage) in order."""
    shown: Callable[[pa.RecordBatch], pa.RecordBatch]
    """Masks samples of removed rows for report and quarantine."""
    keys: Callable[[pa.RecordBatch], BlockKeys]
    measure: Callable[[Sequence[str]], Sequence[TextLength]]
    make_rows: RowMakers | None = None
    tokenize: RowTokenizer | None = None
    counts_units: bool = False
    """Whether to count units for rarity."""


class RowWorker:
    """Processes blocks in both passes."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    def first(self, block: Block) -> FirstPart:
        """First pass: parse, map, clean and filter a block, and compute keys."""
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
        """Augment a block's train rows."""
        assert self._parts.make_rows is not None
        return self._parts.make_rows(task.given_train_rows)

    def vet(self, rows: pa.RecordBatch) -> MadeRows:
        """Run model-generated rows through the same stages as original rows."""
        for _, stage in self._parts.stages:
            rows = stage(rows).rows
        return MadeRows(rows, self._parts.keys(rows).rows.group)

    def second(self, task: SecondTask) -> SecondPart:
        """Second pass: serialise kept rows and provenance of all rows."""
        tally = Tally()
        reasons = task.row_decisions.reasons()
        gone = dropped_rows(task.rows, reasons, details=task.row_decisions.details())
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
        provenance = provenance_of(rows, written, splits, lost)
        train = None
        if task.corpus is not None:
            train = TrainMeasures.of(rows, splits == TRAIN, task.corpus, losses)
        quarantine = b"".join(map(_quarantine, lost))
        return SecondPart(pieces, quarantine, provenance, tally, tokens, train)

    def _measure(self, rows: pa.RecordBatch, tally: Tally) -> None:
        texts = texts_without_system(rows)
        tally.add_kept(self._parts.measure(texts), map(len, texts), classification_answers(rows))
        tally.rows_made += rows.num_rows - rows.column("made_by").null_count


def _of_all(
    losses: NDArray[np.float64] | None, splits: NDArray[np.int8]
) -> NDArray[np.float64] | None:
    """Expand losses of train rows to all rows, with NaN for the others."""
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


Step = Literal["first", "make", "vet", "second"]


class WorkerPool(Protocol):
    """Ordered parallel map over `RowWorker` methods.

    Results are in task order. Prefetching is bounded, so that memory is too. Exceptions of workers
    are re-raised.
    """

    def map(self, step: Step, tasks: Iterable[Any]) -> Iterator[Any]:
        """Call `step` with each task."""
        ...

    def __enter__(self) -> "WorkerPool": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all workers; pending tasks are dropped."""
        ...
