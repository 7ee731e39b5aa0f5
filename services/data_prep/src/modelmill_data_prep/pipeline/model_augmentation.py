"""Model calls between the passes: augmentation by models, and losses for the curriculum.

The job's child makes these calls, because they wait for another service; workers remain pure
functions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa
from modelmill_service_kit.errors import InvalidInputError
from numpy.typing import NDArray

from modelmill_data_prep.domain.augmenting.plan import AugmentStep
from modelmill_data_prep.domain.augmenting.row_makers import (
    BackTranslations,
    Paraphrases,
    PromptTranslator,
    RowMaker,
    TextGenerator,
    chosen_rows,
)
from modelmill_data_prep.domain.row_batch import one_batch
from modelmill_data_prep.pipeline.disk_decider import DiskDecisions
from modelmill_data_prep.pipeline.intermediate_store import (
    LOSSES,
    BlockFileWriter,
    IntermediateStore,
)

SLICE_ROWS = 64
"""Rows per batch of model calls, between progress reports."""
LOSS_DECIMALS = 3
"""Rounding of losses in nats; smaller differences are numerical noise of a busy engine."""


class NoLossError(InvalidInputError):
    """The model returned no loss for any row."""


@dataclass(frozen=True)
class ModelUse:
    """Usage statistics of one model for one purpose."""

    purpose: str
    """"loss" or "text"."""
    model: str
    """Version or alias as in the spec."""
    questions: int
    without_answer: int
    versions: dict[str, int]
    """Answers by model version."""
    refusal: str
    """Reason of the first refusal."""


class RowModels(Protocol):
    """Access to models; permanent failures end the process."""

    def losses(
        self, model: str, rows: pa.RecordBatch, answered: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """Mean loss per token of each row's last answer, in nats.

        Args:
            rows: Of `ROWS`.
            answered: Progress callback with the number of answers.

        Returns:
            One loss per row; NaN where the model gives none.
        """
        ...

    def writer(self, model: str) -> TextGenerator:
        """A text generator with this model."""
        ...

    @property
    def uses(self) -> list[ModelUse]:
        """Usage so far."""
        ...


Progress = Callable[[str, int, int], None]


class ModelAugmentation:
    """Augments train rows with models.

    Args:
        steps: Steps that use a model.
        seed: Seed of the dataset.
        progress: Progress callback in rows, phase "augment".
    """

    def __init__(
        self, models: RowModels, steps: Sequence[AugmentStep], seed: int, progress: Progress
    ) -> None:
        self._makers = [(_maker(step, models.writer(step.model)), step.share) for step in steps]
        self._seed = seed
        self._progress = progress

    def __call__(
        self, intermediate: IntermediateStore, decisions: DiskDecisions
    ) -> Iterator[pa.RecordBatch]:
        """New rows per block, in order of steps; not yet cleaned and filtered."""
        done, total = 0, len(decisions.lines)
        for task in intermediate.tasks(decisions):
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
        """(Rows, share, method, progress share) of each batch of model calls."""
        for number, (maker, share) in enumerate(self._makers):
            chosen = chosen_rows(rows, share, self._seed)
            for start in range(0, chosen.num_rows, SLICE_ROWS):
                piece = chosen.slice(start, SLICE_ROWS)
                passed = (start + piece.num_rows) / chosen.num_rows
                yield piece, share, maker, (number + passed) / len(self._makers)


def compute_losses(
    models: RowModels,
    model: str,
    intermediate: IntermediateStore,
    decisions: DiskDecisions,
    progress: Progress,
) -> None:
    """Compute the loss of each train row, including augmented ones, for the second pass.

    Args:
        progress: Progress callback in rows, phase "loss".

    Raises:
        NoLossError: The model returned no loss at all.
    """
    done, total, asked, known = 0, len(decisions.lines), 0, 0
    writing = intermediate.folder / "losing"
    with BlockFileWriter(writing, LOSSES) as file:
        for task in intermediate.tasks(decisions):
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
    writing.rename(intermediate.losses)


def _report(progress: Progress, done: int, share: float, total: int, answers: int) -> None:
    """Report progress; each answer stands for `share` rows."""
    progress("loss", done + int(answers * share), total)


def _maker(step: AugmentStep, generate: TextGenerator) -> RowMaker:
    if step.method == "paraphrase":
        return Paraphrases(generate, step.limits)
    return BackTranslations(PromptTranslator(generate), step.limits)
