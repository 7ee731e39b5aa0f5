"""Use case: a file of rows to a folder with a dataset. Runs in a job's child process.

Two passes over blocks of rows. The first takes each block through the stages that look at a row by
itself, and leaves it on disk with a few small keys of each row. Then all keys are looked at
together: what says the same, what goes into which split. The second pass writes the rows that stay,
with the story of every row. Workers do the passes; this process reads, decides and appends.
"""

import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import msgspec
from modelmill_service_kit.errors import InvalidInputError
from modelmill_token_files.tokens_plan import TokensPlan

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.dataset_plan import DatasetPlan
from modelmill_data_prep.domain.lineage.merkle import dataset_root
from modelmill_data_prep.domain.reading.file_form import FileForm, form_of_rows
from modelmill_data_prep.domain.reading.file_formats import FileFormat, row_format_of
from modelmill_data_prep.domain.reading.limits import ReadLimits
from modelmill_data_prep.domain.reading.read_blocks import read_blocks
from modelmill_data_prep.domain.report import failed_report_of, report_of
from modelmill_data_prep.domain.report_page import report_page
from modelmill_data_prep.domain.row_batch import DROPPED, ROWS
from modelmill_data_prep.domain.tally import Tally
from modelmill_data_prep.domain.verdicts import SPLITS, TRAIN
from modelmill_data_prep.pipeline.asking import AskedRows, Models, ask_losses
from modelmill_data_prep.pipeline.dataset_output import DatasetOutput
from modelmill_data_prep.pipeline.disk_decider import DiskDecider, DiskDecisions
from modelmill_data_prep.pipeline.intermediate_store import Between
from modelmill_data_prep.pipeline.part_files import PartWriter
from modelmill_data_prep.pipeline.row_worker import FirstPart, SecondPart
from modelmill_data_prep.pipeline.training_extras import MadeRows
from modelmill_data_prep.pipeline.worker_pool import WorkerPool


class NoValidRowsError(InvalidInputError):
    """Not one row of the file can become a conversation, or be trained on."""


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
    form: FileForm = FileForm()  # noqa: RUF009

    @property
    def described(self) -> dict[str, str]:
        """How it is read, for the report."""
        return {"format": self.format, **form_of_rows(self.form, row_format_of(self.format))}

    def blocks(self, limits: ReadLimits) -> Generator[Block, None, None]:
        """As `read_blocks`."""
        return read_blocks(self.path, self.format, limits, self.form)


@dataclass(frozen=True)
class PreparedDataset:
    """What the folder holds, for who files it."""

    counts: dict[str, int]
    choices: list[str] | None
    merkle_root: str
    models: list[dict[str, Any]]
    """Of `ModelUse`: what was asked of models."""


class PrepareDataset:
    """Makes datasets; the same files and plan give the same bytes, whoever works on the blocks.

    Args:
        pool: Works on blocks.
        progress: Hears of every block.
        limits: On what is read.
        tokens: For what token ids are made, as the workers of the pool know it; None for none.
        models: Those that the plan asks; None for a plan that asks none.
    """

    def __init__(
        self,
        pool: WorkerPool,
        progress: Progress,
        limits: ReadLimits,
        tokens: TokensPlan | None = None,
        models: Models | None = None,
    ) -> None:
        self._models = models
        self._pool = pool
        self._progress = progress
        self._limits = limits
        self._tokens = tokens

    def __call__(
        self, source: SourceFile, evaluation: Sequence[SourceFile], plan: DatasetPlan, folder: Path
    ) -> PreparedDataset:
        """Write the splits, the quarantine, the stories and the report into a new `folder`.

        Args:
            source: The rows.
            evaluation: Rows that models will be scored with, in the order of the plan.
            plan: As the workers of the pool have it.
            folder: Is made; a folder beside it is used meanwhile.

        Where it cannot be made, the folder holds the report alone, which says why.

        Raises:
            NoValidRowsError: No row was kept, or none to train on.
            TooFewTextsError: The rows kept cannot fill the splits.
            NoLossError: The loss counts, and the model can tell it of no row.
            InvalidInputError: The file is not of its format.
        """
        tally = Tally()
        try:
            return self._prepare(source, evaluation, plan, folder, tally)
        except InvalidInputError as error:
            # Splits that were begun are no dataset.
            shutil.rmtree(folder)
            folder.mkdir()
            report = failed_report_of(tally, error.message, source.described)
            _write_report(report, plan.name, folder)
            raise

    def _prepare(
        self,
        source: SourceFile,
        evaluation: Sequence[SourceFile],
        plan: DatasetPlan,
        folder: Path,
        tally: Tally,
    ) -> PreparedDataset:
        folder.mkdir(parents=True)
        with TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as place:
            between = Between(Path(place), DiskDecider(plan, Path(place)))
            self._first_pass(source, between, tally)
            for number, file in enumerate(evaluation):
                self._read_evaluation(number, file, between.decider)
            decisions = between.decider.decide()
            self._make_rows(plan, between, decisions)
            if model := plan.curriculum.loss_model:
                ask_losses(self._asked(), model, between, decisions, self._progress)
            with DatasetOutput(folder, self._tokens) as output:
                self._second_pass(between, decisions, output, tally)
                output.finish(plan, tally)
            clusters, contaminated = decisions.clusters(), decisions.contaminated()
        counts = _counts(tally, output)
        root = dataset_root(output.trees)
        uses = [asdict(use) for use in self._asked().uses] if plan.asks_models else []
        report = report_of(tally, counts, clusters, contaminated, root, uses, source.described)
        _write_report(report, plan.name, folder)
        choices = sorted(tally.answers) if tally.answers is not None else None
        return PreparedDataset(counts, choices, root, uses)

    def _first_pass(self, source: SourceFile, between: Between, tally: Tally) -> None:
        size_bytes = source.path.stat().st_size
        reading = _Reading(source, self._limits)
        with PartWriter(between.rows, ROWS) as rows, PartWriter(between.dropped, DROPPED) as out:
            parts: Iterator[FirstPart] = self._pool.map("first", reading)
            for part in parts:
                rows.write(part.rows)
                out.write(part.dropped)
                between.decider.add(part.rows.column("line").to_numpy(), part.keys)
                between.count(part.units)
                tally.merge(part.tally)
                total = tally.rows_in * size_bytes // max(reading.bytes_read, 1)
                self._progress("prepare", tally.rows_in, max(tally.rows_in, total))
        if not tally.rows_in or tally.rows_in == sum(tally.rules.values()):
            raise NoValidRowsError(_why_none(tally))

    def _read_evaluation(self, number: int, file: SourceFile, decider: DiskDecider) -> None:
        """Map and clean evaluation rows like all others; what is no row there is left out."""
        done = 0
        parts: Iterator[FirstPart] = self._pool.map("first", _Reading(file, self._limits))
        for part in parts:
            decider.add_evaluation(number, part.rows.column("line").to_numpy(), part.keys)
            done += part.tally.rows_in
            self._progress("evaluation", done, done)

    def _make_rows(self, plan: DatasetPlan, between: Between, decisions: DiskDecisions) -> None:
        """Rows made of rows of train, without those that say what another row says."""
        if not plan.augment.steps:
            return
        known = between.decider.known_groups()
        if plan.augment.by_words:
            done, total = 0, len(decisions.lines)
            parts: Iterator[MadeRows] = self._pool.map("make", between.tasks(decisions))
            for made in between.add_made(parts, known):
                done += made
                self._progress("augment", min(done, total), total)
        if plan.augment.by_models:
            models, steps = self._asked(), plan.augment.by_models
            asked = AskedRows(models, steps, plan.seed, self._progress)
            parts = self._pool.map("vet", asked(between, decisions))
            for _ in between.add_made(parts, known):
                pass  # The asking has said how far it is.
        between.drop_repeats(plan.seed)

    def _asked(self) -> Models:
        if self._models is None:
            raise ValueError("the plan asks models, and there is nobody to ask")
        return self._models

    def _second_pass(
        self, between: Between, decisions: DiskDecisions, output: DatasetOutput, tally: Tally
    ) -> None:
        done, total = 0, tally.rows_in
        parts: Iterator[SecondPart] = self._pool.map("second", between.tasks(decisions))
        for part in parts:
            output.append(part)
            tally.merge(part.tally)
            done += part.stories.num_rows
            self._progress("write", min(done, total), total)
        if not output.trees[SPLITS[TRAIN]].size:
            raise NoValidRowsError(_why_none_to_train_on(tally))


class _Reading:
    """The blocks of a file, and how far into it they are."""

    def __init__(self, file: SourceFile, limits: ReadLimits) -> None:
        self._file = file
        self._limits = limits
        self.bytes_read = 0

    def __iter__(self) -> Iterator[Block]:
        with closing(self._file.blocks(self._limits)) as blocks:
            for block in blocks:
                self.bytes_read = block.bytes_read
                yield block


def _write_report(report: dict[str, Any], name: str, folder: Path) -> None:
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    (folder / "report.html").write_bytes(report_page(report, name=name))


def _counts(tally: Tally, output: DatasetOutput) -> dict[str, int]:
    """The counts that the dataset is announced with.

    Raises:
        RuntimeError: A row got lost on the way, which is a bug.
    """
    taken_out = tally.taken_out()
    kept = sum(tree.size for tree in output.trees.values())
    as_given = kept - tally.rows_made
    accounted = as_given + sum(taken_out.values())
    if tally.rows_in != accounted or kept != tally.rows_kept:
        raise RuntimeError(f"{tally.rows_in} rows in, {accounted} accounted for, {kept} in splits")
    return {
        "rows_in": tally.rows_in,
        "rows_kept": kept,
        **taken_out,
        "rows_made": tally.rows_made,
        **{name: tree.size for name, tree in output.trees.items()},
    }


def _why_none(tally: Tally) -> str:
    if not tally.rows_in:
        return "the file has no rows"
    reasons = tally.reasons or tally.rules
    reason, _ = reasons.most_common(1)[0]
    return f"none of {tally.rows_in} rows is valid; the most common reason: {reason}"


def _why_none_to_train_on(tally: Tally) -> str:
    rule, _ = tally.rules.most_common(1)[0]
    return f"none of {tally.rows_in} rows is left to train on; most were {rule}"
