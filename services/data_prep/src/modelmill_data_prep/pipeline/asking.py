"""What models are asked between the passes: rows in other words, and how hard rows are.

Asking is waiting for another service, so the job's own process does it, and workers stay pure.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa
from modelmill_service_kit.errors import InvalidInputError
from numpy.typing import NDArray

from modelmill_data_prep.domain.augmenting.generated import (
    BackTranslations,
    Paraphrases,
    PromptTranslator,
    TextGenerator,
)
from modelmill_data_prep.domain.augmenting.plan import AugmentStep
from modelmill_data_prep.domain.augmenting.row_maker import RowMaker, chosen_rows
from modelmill_data_prep.domain.row_batch import one_batch
from modelmill_data_prep.pipeline.disk_decider import DiskDecisions
from modelmill_data_prep.pipeline.intermediate_store import LOSSES, Between
from modelmill_data_prep.pipeline.part_files import PartWriter

SLICE_ROWS = 64
"""Rows that are put into other words between two reports of progress."""
LOSS_DECIMALS = 3
"""Of a nat. What differs less is noise of the order in which a busy engine adds up."""


class NoLossError(InvalidInputError):
    """The model can tell of no row how hard it is."""


@dataclass(frozen=True)
class ModelUse:
    """How often a model was asked for one purpose, and what came of it."""

    purpose: str
    """"loss" or "text"."""
    model: str
    """Version or alias, as in the spec."""
    questions: int
    without_answer: int
    versions: dict[str, int]
    """Answers by the version that gave them."""
    refusal: str
    """Why the first one that has none has no answer."""


class Models(Protocol):
    """Models that can be asked. What they cannot answer at all ends this process."""

    def losses(
        self, model: str, rows: pa.RecordBatch, answered: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """How surprised the model is by the last answer of each row: nats of a mean token.

        Args:
            rows: Of `ROWS`.
            answered: Told after each answer how many there are.

        Returns:
            For each row; NaN where the model cannot tell.
        """
        ...

    def writer(self, model: str) -> TextGenerator:
        """Asks the model for texts."""
        ...

    @property
    def uses(self) -> list[ModelUse]:
        """What was asked so far."""
        ...


Progress = Callable[[str, int, int], None]


class AskedRows:
    """Makes rows of rows of train by asking models.

    Args:
        steps: Each asks a model.
        seed: Of the dataset.
        progress: Told in rows, as "augment".
    """

    def __init__(
        self, models: Models, steps: Sequence[AugmentStep], seed: int, progress: Progress
    ) -> None:
        self._makers = [(_maker(step, models.writer(step.model)), step.share) for step in steps]
        self._seed = seed
        self._progress = progress

    def __call__(self, between: Between, decisions: DiskDecisions) -> Iterator[pa.RecordBatch]:
        """Of each block the new rows, those of the first step first; not yet vetted."""
        done, total = 0, len(decisions.lines)
        for task in between.tasks(decisions):
            made = []
            for rows, share, maker, passed in self._slices(task.given_train_rows):
                made.append(maker.make(rows, share, self._seed))
                self._progress("augment", done + int(passed * task.rows.num_rows), total)
            done += task.rows.num_rows
            self._progress("augment", done, total)
            yield one_batch(made)

    def _slices(
        self, rows: pa.RecordBatch
    ) -> Iterator[tuple[pa.RecordBatch, float, RowMaker, float]]:
        """Rows that a maker takes all of, its share, the maker, and how far that is."""
        for number, (maker, share) in enumerate(self._makers):
            chosen = chosen_rows(rows, share, self._seed)
            for start in range(0, chosen.num_rows, SLICE_ROWS):
                piece = chosen.slice(start, SLICE_ROWS)
                passed = (start + piece.num_rows) / chosen.num_rows
                yield piece, share, maker, (number + passed) / len(self._makers)


def ask_losses(
    models: Models, model: str, between: Between, decisions: DiskDecisions, progress: Progress
) -> None:
    """Write what the model loses on each row of train, made ones among them, for the second pass.

    Args:
        progress: Told in rows, as "loss".

    Raises:
        NoLossError: It can tell of none.
    """
    done, total, asked, known = 0, len(decisions.lines), 0, 0
    writing = between.folder / "losing"
    with PartWriter(writing, LOSSES) as file:
        for task in between.tasks(decisions):
            rows = task.train_rows
            share = task.rows.num_rows / max(rows.num_rows, 1)
            losses = models.losses(model, rows, partial(_report, progress, done, share, total))
            losses = np.round(losses, LOSS_DECIMALS)
            file.write(pa.RecordBatch.from_arrays([pa.array(losses)], schema=LOSSES))
            asked += rows.num_rows
            known += int(np.isfinite(losses).sum())
            done += task.rows.num_rows
    if asked and not known:
        refusals = [use.refusal for use in models.uses if use.purpose == "loss"]
        raise NoLossError(f"{model} can score none of {asked} rows: {refusals[0]}")
    writing.rename(between.losses)


def _report(progress: Progress, done: int, share: float, total: int, answers: int) -> None:
    """So many answers more than `done` rows, each of which stands for `share` rows."""
    progress("loss", done + int(answers * share), total)


def _maker(step: AugmentStep, generate: TextGenerator) -> RowMaker:
    if step.method == "paraphrase":
        return Paraphrases(generate, step.limits)
    return BackTranslations(PromptTranslator(generate), step.limits)
