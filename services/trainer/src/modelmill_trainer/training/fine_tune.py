"""One fine-tuning run from folders to a folder: load, examine the base, train, examine, save."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_jobs.child import ChildPort
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.training.distributed.ranks import OneRank
from modelmill_trainer.training.final_eval import exam_report, sit_exam
from modelmill_trainer.training.foreign_code import limits_end_the_run
from modelmill_trainer.training.goldens import (
    Parity,
    check_artifact,
    parity_record,
    refuse_tokens_in_pieces,
    take_from,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import Objective, held_out_loss
from modelmill_trainer.training.objectives.making import make_objective, with_references
from modelmill_trainer.training.open_choices import decision_of
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.progress import Progress
from modelmill_trainer.training.run_result import summary_of, verdict_on, write_folder
from modelmill_trainer.training.run_setup import (
    Division,
    asking_base,
    loop_of,
    model_of,
    plan_of,
    questions_of,
    read_splits,
    set_up,
)

LOAD_SECONDS = 300.0


def fine_tune(port: ChildPort, division: Division | None = None) -> Mapping[str, Any]:
    """Do what `port.request` (a TrainRequest) says.

    Args:
        division: The ranks that the run is divided among, of which this process is one.

    Returns:
        `folder` with the finished model, the `summary` of the run, its `hyper_parameters` and its
        `parity`; nothing in a rank that does not lead.

    Raises:
        ChildFailure: the dataset or the choices do not allow it, or the run diverged.
        Preempted: told to stop; the last checkpoint is where to go on.
    """
    request = TrainRequest.from_json(port.request)
    port.report("load", max_silence_seconds=LOAD_SECONDS)
    with limits_end_the_run():
        made = _train(request, port, division)
    if made is None:
        return {}
    # By now the trained model is gone, whose memory the one that is read back needs.
    port.report("check", max_silence_seconds=LOAD_SECONDS)
    with limits_end_the_run():
        reloaded = check_artifact(made.folder, request.base_folder, made.parity.goldens)
    return {
        "folder": str(made.folder),
        "summary": made.summary | (reloaded.figures() if reloaded else {}),
        "hyper_parameters": made.choices.as_json(),
        "parity": parity_record(made.parity, reloaded),
    }


@dataclass(frozen=True)
class _Made:
    """What a run has written, not yet read back."""

    folder: Path
    summary: dict[str, Any]
    choices: HyperParameters
    parity: Parity


def _train(request: TrainRequest, port: ChildPort, division: Division | None) -> _Made | None:
    leads = division is None or division.ranks.leads
    accounts = set_up(request, division.ranks.size if division else 1)
    tokenizer = BoundedTokenizer.load(request.base_folder)
    refuse_tokens_in_pieces(request.base_folder, tokenizer)
    splits = read_splits(request, tokenizer)
    questions = questions_of(request, tokenizer)
    decision = decision_of(request, splits, port, division.ranks if division else OneRank())
    request = replace(request, hyper_parameters=decision.apply(request.hyper_parameters))
    plan = plan_of(request, len(splits["train"]))
    model = model_of(request)
    objective = make_objective(request)
    for split in ("train", "valid"):
        splits[split] = with_references(splits[split], request, model, asking_base(port))
    loop = loop_of(request, model, objective, splits, plan, port, accounts, division)
    loop.progress.decision = decision.as_json()
    if leads:
        _examine_base(model, questions, loop.progress, port)
    loop.run()
    if division is not None:
        weights = division.result()
        if not leads:
            return None
        model = model_of(request)
        model.take(weights)
    model.round_to_stored()
    tuned = sit_exam(model, questions, port, phase="evaluate tuned") if questions else None
    report = exam_report(request.choices, loop.progress.base_correct, tuned)
    port.report("save", max_silence_seconds=LOAD_SECONDS)
    summary = summary_of(loop.progress, model, len(splits["train"]), report)
    summary |= accounts.summary(loop.progress.flops, loop.progress.seconds) | decision.summary()
    summary |= _judged(objective, model, splits["valid"], summary)
    # Goldens are rows of the dataset; those of another have no place in its files.
    own = splits if request.validation_folder is None else {**splits, "valid": ()}
    parity = take_from(model, tokenizer, own, request)
    folder = write_folder(port.folder / "model", model, loop.metrics.path, report)
    parity.goldens.write(folder)
    return _Made(folder, summary, request.hyper_parameters, parity)


def _judged(
    objective: Objective, model: TrainedModel, valid: Sequence[Example], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """The loss of the valid split, and what is to be said of the run."""
    loss = {"valid_loss": held_out_loss(objective, model, valid)} if valid else {}
    return loss | verdict_on({**summary, **loss}, model.learns_by_adapter)


def _examine_base(
    model: TrainedModel, questions: Sequence[ChoiceQuestion], progress: Progress, port: ChildPort
) -> None:
    """Before the first step: a full run changes the base itself. Kept in every checkpoint."""
    if questions and progress.base_correct is None:
        with model.as_base():
            progress.base_correct = sit_exam(model, questions, port, phase="evaluate base")
