"""Creates a run's objective, and precomputes reference likelihoods for DPO."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace

from modelmill_jobs.child import ChildFailure
from modelmill_token_files.tokenizer_digest import files_of, reads_alike

from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.methods import (
    DISTILLATION,
    DPO,
    FOREIGN_TEACHER,
    FULL,
    KTO,
    OTHER_TEACHER,
)
from modelmill_trainer.training.answer_packs import (
    chosen_answer,
    first_likelihoods,
    pack_answers,
    rejected_answer,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import AnswerObjective, Objective
from modelmill_trainer.training.objectives.distillation import DistillationObjective
from modelmill_trainer.training.objectives.preferences import DpoObjective, KtoObjective
from modelmill_trainer.training.packs import LazyExamples, TrainingExample

ROWS_AT_A_TIME = 32


def make_objective(request: TrainRequest) -> Objective:
    """Create the objective of a request; for distillation this loads the teacher.

    Raises:
        ChildFailure: the teacher's tokenizer differs.
    """
    choices = request.hyper_parameters
    if choices.objective == DPO:
        return DpoObjective(choices.preference_beta)
    if choices.objective == KTO:
        return KtoObjective(choices.preference_beta)
    if choices.objective == DISTILLATION:
        return DistillationObjective(_teacher(request), choices)
    return AnswerObjective()


def _teacher(request: TrainRequest) -> TrainedModel:
    folder, adapter = request.teacher_folder, request.teacher_adapter_folder
    if folder is None or not reads_alike(files_of(folder), files_of(request.base_folder)):
        raise ChildFailure(
            "FOREIGN_TEACHER", f"teacher_version_id: {FOREIGN_TEACHER}", OTHER_TEACHER
        )
    return TrainedModel.load_frozen(folder, adapter)


def with_references(
    rows: Sequence[TrainingExample],
    request: TrainRequest,
    model: TrainedModel,
    report: Callable[[int, int], None],
) -> Sequence[TrainingExample]:
    """Rows with reference likelihoods of the initial model, where training overwrites that model:
    full fine-tuning, and continuing an adapter.

    Args:
        model: The model before its first step.
        report: Progress callback with rows done and total rows.
    """
    choices = request.hyper_parameters
    if choices.objective != DPO or not (choices.method == FULL or request.adapter_folder):
        return rows
    found = array("d")
    for first in range(0, len(rows), ROWS_AT_A_TIME):
        report(first, len(rows))
        some = rows[first : first + ROWS_AT_A_TIME]
        pairs = ((chosen_answer(row), rejected_answer(row)) for row in some)
        for pack in pack_answers(pairs, max_nodes=model.pack_nodes):
            found.extend(first_likelihoods(model, pack).tolist())
    return _Referenced(rows, found)


class _Referenced(LazyExamples):
    """Rows with their reference likelihoods, 16 bytes each."""

    def __init__(self, rows: Sequence[TrainingExample], found: Sequence[float]) -> None:
        self._rows = rows
        self._found = found

    def __len__(self) -> int:
        return len(self._rows)

    def example(self, place: int) -> TrainingExample:
        """See `LazyExamples`."""
        reference = (self._found[2 * place], self._found[2 * place + 1])
        return replace(self._rows[place], reference=reference)
