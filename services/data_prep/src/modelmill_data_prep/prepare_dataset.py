"""Use case: make a dataset folder from a source file, in a job's child process.

It takes two passes over blocks of rows. The first runs the per-row stages and stores rows and keys
on disk. Then all keys are compared: duplicates, contamination, splits. The second pass writes kept
rows and the provenance of all rows. Workers run the passes; this process reads, decides and writes.
"""

import shutil
from collections.abc import Iterator, Sequence
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
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.source_files import RowSource
from modelmill_data_prep.domain.report import (
    FoundAcrossRows,
    failed_report_of,
    report_of,
    report_page,
)
from modelmill_data_prep.domain.row_batch import DROPPED, ROWS
from modelmill_data_prep.domain.row_decisions import SPLITS, TRAIN
from modelmill_data_prep.domain.tally import Tally
from modelmill_data_prep.pipeline.dataset_output import DatasetOutput
from modelmill_data_prep.pipeline.disk_decider import DiskDecider, DiskDecisions
from modelmill_data_prep.pipeline.intermediate_store import BlockFileWriter, IntermediateStore
from modelmill_data_prep.pipeline.model_augmentation import (
    ModelAugmentation,
    RowModels,
    compute_losses,
)
from modelmill_data_prep.pipeline.row_worker import FirstPart, SecondPart, WorkerPool
from modelmill_data_prep.pipeline.training_extras import MadeRows


class NoValidRowsError(InvalidInputError):
    """No row of the file is valid, or none is left for training."""


class Progress(Protocol):
    def __call__(self, phase: str, done: int, total: int) -> None:
        """Progress callback in rows, after each block; `total` is an estimate during reading.

        May raise to stop the work.
        """


@dataclass(frozen=True)
class PreparedDataset:
    """Summary of the written folder."""

    counts: dict[str, int]
    choices: list[str] | None
    merkle_root: str
    models: list[dict[str, Any]]
    """Model usage, as `ModelUse` fields."""


class PrepareDataset:
    """Makes datasets; the same files and plan give the same bytes with any pool.

    Args:
        pool: Worker pool.
        progress: Progress callback.
        limits: Reading limits.
        tokens: Tokenization plan, same as in the workers; None for none.
        models: Model access; None if the plan uses no models.
    """

    def __init__(
        self,
        pool: WorkerPool,
        progress: Progress,
        limits: ReadLimits,
        tokens: TokensPlan | None = None,
        models: RowModels | None = None,
    ) -> None:
        self._models = models
        self._pool = pool
        self._progress = progress
        self._limits = limits
        self._tokens = tokens

    def __call__(
        self, source: RowSource, evaluation: Sequence[RowSource], plan: DatasetPlan, folder: Path
    ) -> PreparedDataset:
        """Write splits, quarantine, provenance and report into a new `folder`.


        Args:
            source: RowSource files.
            evaluation: Evaluation files, in the order of the plan.
            plan: The plan, same as in the workers.
            folder: Created here; a sibling folder holds temporary files.


        On failure the folder contains only the report, with the reason.


        Raises:
            NoValidRowsError: No row was kept, or none for training.
            TooFewTextsError: There are too few different texts for the splits.
            NoLossError: Loss is a factor, and the model returned none.
            InvalidInputError: The file is not of its format.
        """
        tally = Tally()
        try:
            return self._prepare(source, evaluation, plan, folder, tally)
        except InvalidInputError as error:
            # Incomplete splits must not remain.
            shutil.rmtree(folder)
            folder.mkdir()
            report = failed_report_of(tally, error.message, source.described, plan.entities)
            _write_report(report, plan.name, folder)
            raise

    def _prepare(
        self,
        source: RowSource,
        evaluation: Sequence[RowSource],
        plan: DatasetPlan,
        folder: Path,
        tally: Tally,
    ) -> PreparedDataset:
        folder.mkdir(parents=True)
        with TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as place:
            intermediate = IntermediateStore(Path(place), DiskDecider(plan, Path(place)))
            self._first_pass(source, intermediate, tally)
            for number, file in enumerate(evaluation):
                self._read_evaluation(number, file, intermediate.decider)
            decisions = intermediate.decider.decide()
            self._make_rows(plan, intermediate, decisions)
            if model := plan.curriculum.loss_model:
                compute_losses(self._asked(), model, intermediate, decisions, self._progress)
            with DatasetOutput(folder, self._tokens) as output:
                self._second_pass(intermediate, decisions, output, tally)
                output.finish(plan, tally)
            found = FoundAcrossRows(
                decisions.clusters(),
                decisions.contaminated(),
                None if plan.duplicates.keep_exact else decisions.several_answers(),
            )
        counts = _counts(tally, output)
        root = dataset_root(output.trees)
        uses = [asdict(use) for use in self._asked().uses] if plan.asks_models else []
        report = report_of(tally, counts, found, root, uses, source.described, plan.entities)
        _write_report(report, plan.name, folder)
        choices = sorted(tally.answers) if tally.answers is not None else None
        return PreparedDataset(counts, choices, root, uses)

    def _first_pass(self, source: RowSource, intermediate: IntermediateStore, tally: Tally) -> None:
        size_bytes = source.size_bytes
        reading = _Reading(source, self._limits)
        with (
            BlockFileWriter(intermediate.rows, ROWS) as rows,
            BlockFileWriter(intermediate.dropped, DROPPED) as out,
        ):
            parts: Iterator[FirstPart] = self._pool.map("first", reading)
            for part in parts:
                rows.write(part.rows)
                out.write(part.dropped)
                intermediate.decider.add(part.rows.column("line").to_numpy(), part.keys)
                intermediate.count(part.units)
                tally.merge(part.tally)
                total = tally.rows_in * size_bytes // max(reading.bytes_read, 1)
                self._progress("prepare", tally.rows_in, max(tally.rows_in, total))
        if not tally.rows_in or tally.rows_in == sum(tally.rules.values()):
            raise NoValidRowsError(_why_none(tally))

    def _read_evaluation(self, number: int, file: RowSource, decider: DiskDecider) -> None:
        """Process evaluation rows like source rows; invalid ones are ignored."""
        done = 0
        parts: Iterator[FirstPart] = self._pool.map("first", _Reading(file, self._limits))
        for part in parts:
            decider.add_evaluation(number, part.rows.column("line").to_numpy(), part.keys)
            done += part.tally.rows_in
            self._progress("evaluation", done, done)

    def _make_rows(
        self, plan: DatasetPlan, intermediate: IntermediateStore, decisions: DiskDecisions
    ) -> None:
        """Augment train rows, without duplicates of other rows."""
        if not plan.augment.steps:
            return
        known = intermediate.decider.known_groups()
        if plan.augment.by_words:
            done, total = 0, len(decisions.lines)
            parts: Iterator[MadeRows] = self._pool.map("make", intermediate.tasks(decisions))
            for made in intermediate.add_made(parts, known):
                done += made
                self._progress("augment", min(done, total), total)
        if plan.augment.by_models:
            models, steps = self._asked(), plan.augment.by_models
            asked = ModelAugmentation(models, steps, plan.seed, self._progress)
            parts = self._pool.map("vet", asked(intermediate, decisions))
            for _ in intermediate.add_made(parts, known):
                pass  # ModelAugmentation reports progress itself
        intermediate.drop_repeats(plan.seed)

    def _asked(self) -> RowModels:
        if self._models is None:
            raise ValueError("the plan uses models, and no model access was given")
        return self._models

    def _second_pass(
        self,
        intermediate: IntermediateStore,
        decisions: DiskDecisions,
        output: DatasetOutput,
        tally: Tally,
    ) -> None:
        done, total = 0, tally.rows_in
        parts: Iterator[SecondPart] = self._pool.map("second", intermediate.tasks(decisions))
        for part in parts:
            output.append(part)
            tally.merge(part.tally)
            done += part.provenance.num_rows
            self._progress("write", min(done, total), total)
        if not output.trees[SPLITS[TRAIN]].size:
            raise NoValidRowsError(_why_none_to_train_on(tally))


class _Reading:
    """Iterates over blocks of a file and tracks the read position."""

    def __init__(self, file: RowSource, limits: ReadLimits) -> None:
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
    """Row counts of the announcement, with a consistency check.

    Raises:
        RuntimeError: A row was lost, which is a bug.
    """
    taken_out = tally.taken_out()
    kept = sum(tree.size for tree in output.trees.values())
    as_given = kept - tally.rows_made
    accounted = as_given + sum(taken_out.values())
    if tally.rows_in != accounted or kept != tally.rows_kept:
        raise RuntimeError(f"{tally.rows_in} rows in, {accounted} accounted for, {kept} in splits")
    doubtful = len(tally.doubtful_choices())
    return {
        "rows_in": tally.rows_in,
        "rows_kept": kept,
        **taken_out,
        "rows_made": tally.rows_made,
        **{name: tree.size for name, tree in output.trees.items()},
        **({"doubtful_choices": doubtful} if doubtful else {}),
    }


def _why_none(tally: Tally) -> str:
    if not tally.rows_in:
        return "the file has no rows"
    reasons = tally.reasons or tally.rules
    reason, _ = reasons.most_common(1)[0]
    return f"none of {tally.rows_in} rows is valid. The most common reason is {reason}"


def _why_none_to_train_on(tally: Tally) -> str:
    rule, _ = tally.rules.most_common(1)[0]
    return f"none of {tally.rows_in} rows is left for training. The most common rule is {rule}"
