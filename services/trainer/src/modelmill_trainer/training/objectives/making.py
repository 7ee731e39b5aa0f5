"""The objective of a run, and the rows as it reads them."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import overload

from modelmill_jobs.child import ChildFailure
from modelmill_token_files.tokenizer_digest import files_of, reads_alike

from modelmill_trainer.domain.methods import (
    DISTILLATION,
    DPO,
    FOREIGN_TEACHER,
    FULL,
    KTO,
    OTHER_TEACHER,
)
from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.training.answer_packs import better, first_likelihoods, pack_answers, worse
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import LearnAnswers, Objective
from modelmill_trainer.training.objectives.desirable import WantAnswers
from modelmill_trainer.training.objectives.distillation import FollowTeacher
from modelmill_trainer.training.objectives.preference import PreferBetterAnswers
from modelmill_trainer.training.packs import Example

ROWS_AT_A_TIME = 32


def make_objective(request: TrainRequest) -> Objective:
    """What the request says shall become smaller; a teacher is loaded.

    Raises:
        ChildFailure: the teacher has another tokenizer.
    """
    choices = request.hyper_parameters
    if choices.objective == DPO:
        return PreferBetterAnswers(choices.preference_beta)
    if choices.objective == KTO:
        return WantAnswers(choices.preference_beta)
    if choices.objective == DISTILLATION:
        return FollowTeacher(_teacher(request), choices)
    return LearnAnswers()


def _teacher(request: TrainRequest) -> TrainedModel:
    folder = request.teacher_folder
    if folder is None or not reads_alike(files_of(folder), files_of(request.base_folder)):
        raise ChildFailure(
            "FOREIGN_TEACHER", f"teacher_version_id: {FOREIGN_TEACHER}", OTHER_TEACHER
        )
    return TrainedModel.load_frozen(folder)


def with_references(
    rows: Sequence[Example],
    request: TrainRequest,
    model: TrainedModel,
    report: Callable[[int, int], None],
) -> Sequence[Example]:
    """Rows that know what the model says of them before its first step, where that is not there
    any more once it began: a run of all weights, and one that goes on from an adapter.

    Args:
        model: Before its first step.
        report: Told rows done and rows in all.
    """
    choices = request.hyper_parameters
    if choices.objective != DPO or not (choices.method == FULL or request.adapter_folder):
        return rows
    found = array("d")
    for first in range(0, len(rows), ROWS_AT_A_TIME):
        report(first, len(rows))
        some = rows[first : first + ROWS_AT_A_TIME]
        pairs = ((better(row), worse(row)) for row in some)
        for pack in pack_answers(pairs, max_nodes=model.pack_nodes):
            found.extend(first_likelihoods(model, pack).tolist())
    return _Referenced(rows, found)


class _Referenced(Sequence[Example]):
    """Rows with their references, which take 16 bytes each."""

    def __init__(self, rows: Sequence[Example], found: Sequence[float]) -> None:
        self._rows = rows
        self._found = found

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Example: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Example]: ...

    def __getitem__(self, place: int | slice) -> Example | Sequence[Example]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        reference = (self._found[2 * place], self._found[2 * place + 1])
        return replace(self._rows[place], reference=reference)
