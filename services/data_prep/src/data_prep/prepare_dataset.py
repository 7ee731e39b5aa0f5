"""Use case: a file of rows to a folder with a dataset. Runs in a job's child process.

Two passes over blocks of rows. The first takes each block through the stages that look at a row by
itself, and leaves it on disk with a few small keys of each row. Then all keys are looked at
together: what says the same, what goes into which split. The second pass writes the rows that stay,
with the story of every row. Workers do the passes; this process reads, decides and appends.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Protocol

import msgspec
from service_kit.errors import InvalidInputError

from data_prep.domain.blocks import Block
from data_prep.domain.dataset_plan import DatasetPlan
from data_prep.domain.lineage.merkle import MerkleTree, dataset_root
from data_prep.domain.lineage.story import Bases, StoryWriter
from data_prep.domain.reading.file_formats import FileFormat
from data_prep.domain.reading.limits import ReadLimits
from data_prep.domain.reading.read_blocks import read_blocks
from data_prep.domain.report import report_of
from data_prep.domain.report_page import report_page
from data_prep.domain.row_batch import DROPPED, ROWS
from data_prep.domain.stories_file import STORIES_FILE
from data_prep.domain.tally import Tally
from data_prep.domain.verdicts import SPLITS
from data_prep.pipeline.disk_decider import DiskDecider, DiskDecisions
from data_prep.pipeline.part_files import PartFile, PartWriter
from data_prep.pipeline.row_worker import FirstPart, SecondPart, SecondTask
from data_prep.pipeline.worker_pool import WorkerPool


class NoValidRowsError(InvalidInputError):
    """Not one row of the file can become a conversation."""


class Progress(Protocol):
    def __call__(self, phase: str, done: int, total: int) -> None:
        """Told after each block, in rows; `total` is an estimate while the file is being read.

        May raise to end the work.
        """


@dataclass(frozen=True)
class SourceFile:
    """A file of rows."""

    path: Path
    format: FileFormat


@dataclass(frozen=True)
class PreparedDataset:
    """What the folder holds, for who files it."""

    counts: dict[str, int]
    choices: list[str] | None
    merkle_root: str


class PrepareDataset:
    """Makes datasets; the same files and plan give the same bytes, whoever works on the blocks.

    Args:
        pool: Works on blocks.
        progress: Hears of every block.
        limits: On what is read.
    """

    def __init__(self, pool: WorkerPool, progress: Progress, limits: ReadLimits) -> None:
        self._pool = pool
        self._progress = progress
        self._limits = limits

    def __call__(
        self, source: SourceFile, evaluation: Sequence[SourceFile], plan: DatasetPlan, folder: Path
    ) -> PreparedDataset:
        """Write the splits, the quarantine, the stories and the report into a new `folder`.

        Args:
            source: The rows.
            evaluation: Rows that models will be scored with, in the order of the plan.
            plan: As the workers of the pool have it.
            folder: Is made; a folder beside it is used meanwhile.

        Raises:
            NoValidRowsError: No row was kept.
            TooFewTextsError: The rows kept cannot fill the splits.
            InvalidInputError: The file is not of its format.
        """
        folder.mkdir(parents=True)
        with TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as place:
            scratch = Path(place)
            decider = DiskDecider(plan, scratch)
            tally = self._first_pass(source, decider, scratch)
            if not tally.rows_in or tally.rows_in == sum(tally.rules.values()):
                raise NoValidRowsError(_why_none(tally))
            for number, file in enumerate(evaluation):
                self._read_evaluation(number, file, decider)
            decisions = decider.decide()
            with _Output(folder) as output:
                self._second_pass(scratch, decisions, output, tally)
            clusters, contaminated = decisions.clusters(), decisions.contaminated()
        counts = _counts(tally, output)
        root = dataset_root(output.trees)
        report = report_of(tally, counts, clusters, contaminated, root)
        (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
        (folder / "report.html").write_bytes(report_page(report, name=plan.name))
        choices = sorted(tally.answers) if tally.answers is not None else None
        return PreparedDataset(counts, choices, root)

    def _first_pass(self, source: SourceFile, decider: DiskDecider, scratch: Path) -> Tally:
        tally = Tally()
        size_bytes = source.path.stat().st_size
        reading = _Reading(source, self._limits)
        with (
            PartWriter(scratch / "rows", ROWS) as rows,
            PartWriter(scratch / "out", DROPPED) as out,
        ):
            parts: Iterator[FirstPart] = self._pool.map("first", reading)
            for part in parts:
                rows.write(part.rows)
                out.write(part.dropped)
                decider.add(part.rows.column("line").to_numpy(), part.keys)
                tally.merge(part.tally)
                total = tally.rows_in * size_bytes // max(reading.bytes_read, 1)
                self._progress("prepare", tally.rows_in, max(tally.rows_in, total))
        return tally

    def _read_evaluation(self, number: int, file: SourceFile, decider: DiskDecider) -> None:
        """Map and clean evaluation rows like all others; what is no row there is left out."""
        done = 0
        parts: Iterator[FirstPart] = self._pool.map("first", _Reading(file, self._limits))
        for part in parts:
            decider.add_evaluation(number, part.rows.column("line").to_numpy(), part.keys)
            done += part.tally.rows_in
            self._progress("evaluation", done, done)

    def _second_pass(
        self, scratch: Path, decisions: DiskDecisions, output: "_Output", tally: Tally
    ) -> None:
        rows, out = PartFile(scratch / "rows"), PartFile(scratch / "out")
        done, total = 0, tally.rows_in
        parts: Iterator[SecondPart] = self._pool.map("second", _tasks(rows, out, decisions))
        for part in parts:
            output.append(part)
            tally.merge(part.tally)
            done += part.stories.num_rows
            self._progress("write", done, total)


class _Reading:
    """The blocks of a file, and how far into it they are."""

    def __init__(self, file: SourceFile, limits: ReadLimits) -> None:
        self._file = file
        self._limits = limits
        self.bytes_read = 0

    def __iter__(self) -> Iterator[Block]:
        with closing(read_blocks(self._file.path, self._file.format, self._limits)) as blocks:
            for block in blocks:
                self.bytes_read = block.bytes_read
                yield block


@dataclass
class _Output:
    """The files of a dataset while they are written."""

    folder: Path
    trees: dict[str, MerkleTree] = field(default_factory=lambda: {n: MerkleTree() for n in SPLITS})
    _sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    _stack: ExitStack = field(default_factory=ExitStack)
    _files: dict[str, IO[bytes]] = field(default_factory=dict)

    def __enter__(self) -> "_Output":
        for name in (*SPLITS, "quarantine"):
            file = (self.folder / f"{name}.jsonl").open("xb")
            self._files[name] = self._stack.enter_context(file)
        self._stories = self._stack.enter_context(StoryWriter(self.folder / STORIES_FILE))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def append(self, part: SecondPart) -> None:
        """The next block."""
        bases = {name: Bases(self.trees[name].size, self._sizes[name]) for name in SPLITS}
        self._stories.write(part.stories, bases)
        self._files["quarantine"].write(part.quarantine)
        for name, piece in part.pieces.items():
            self._files[name].write(piece.lines)
            self._sizes[name] += len(piece.lines)
            self.trees[name].add_packed(piece.leaves)


def _tasks(rows: PartFile, out: PartFile, decisions: DiskDecisions) -> Iterator[SecondTask]:
    start = 0
    for block in range(len(rows)):
        batch = rows[block]
        stop = start + batch.num_rows
        yield SecondTask(batch, out[block], decisions.verdicts(start, stop))
        start = stop


def _counts(tally: Tally, output: _Output) -> dict[str, int]:
    """The counts that the dataset is announced with.

    Raises:
        RuntimeError: A row got lost on the way, which is a bug.
    """
    taken_out: Mapping[str, int] = {
        kind: sum(rows for rule, rows in tally.rules.items() if rule.startswith(kind))
        for kind in ("quarantined", "dropped duplicates.", "dropped")
    }
    kept = sum(tree.size for tree in output.trees.values())
    accounted = kept + taken_out["quarantined"] + taken_out["dropped"]
    if tally.rows_in != accounted or kept != tally.rows_kept:
        raise RuntimeError(f"{tally.rows_in} rows in, {accounted} accounted for, {kept} in splits")
    return {
        "rows_in": tally.rows_in,
        "rows_kept": kept,
        "rows_quarantined": taken_out["quarantined"],
        "rows_duplicate": taken_out["dropped duplicates."],
        "rows_dropped": taken_out["dropped"] - taken_out["dropped duplicates."],
        **{name: tree.size for name, tree in output.trees.items()},
    }


def _why_none(tally: Tally) -> str:
    if not tally.rows_in:
        return "the file has no rows"
    reasons = tally.reasons or tally.rules
    reason, _ = reasons.most_common(1)[0]
    return f"none of {tally.rows_in} rows is valid; the most common reason: {reason}"
