"""A fine-tuning run: load, evaluate the base, train, evaluate, save, verify the artifact."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_jobs.child import ChildPort
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import QLORA
from modelmill_trainer.training.auto_choices import auto_choices_of
from modelmill_trainer.training.checkpoint import TrainingProgress
from modelmill_trainer.training.distributed.ranks import Ranks, SingleRank
from modelmill_trainer.training.failures import limits_as_failure
from modelmill_trainer.training.final_eval import evaluation_report, score_test_split
from modelmill_trainer.training.goldens import (
    Parity,
    check_artifact,
    parity_record,
    require_special_tokens,
    take_model_goldens,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import Objective, held_out_loss
from modelmill_trainer.training.objectives.distillation import DistillationObjective
from modelmill_trainer.training.objectives.make_objective import make_objective, with_references
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.run_result import assessment_of, summary_of, write_folder
from modelmill_trainer.training.run_setup import (
    DistributedRun,
    as_served,
    loop_of,
    model_of,
    questions_of,
    read_splits,
    reference_progress,
    set_up,
    with_teacher_texts,
)
from modelmill_trainer.training.token_rows import own_rows

LOAD_SECONDS = 300.0


def fine_tune(port: ChildPort, distributed: DistributedRun | None = None) -> Mapping[str, Any]:
    """Run the TrainRequest of `port`.

    Args:
        distributed: The distributed run that this process is a rank of; None for one process.

    Returns:
        `folder` with the finished model, the `summary` of the run, its `hyper_parameters` and its
        `parity`; empty in ranks other than the leader.

    Raises:
        ChildFailure: rows or hyper-parameters are invalid, or the run diverged.
        Preempted: the run was asked to stop; it resumes from the last checkpoint.
    """
    request = TrainRequest.from_json(port.request)
    port.report("load", max_silence_seconds=LOAD_SECONDS)
    with limits_as_failure():
        made = _train(request, port, distributed)
    if made is None:
        return {}
    # `_train` has released the trained model, whose memory the reloaded one needs.
    port.report("check", max_silence_seconds=LOAD_SECONDS)
    with limits_as_failure():
        reloaded = check_artifact(made.folder, request.base_folder, made.parity.goldens)
    return {
        "folder": str(made.folder),
        "summary": made.summary | (reloaded.figures() if reloaded else {}),
        "hyper_parameters": made.choices.as_json(),
        "parity": parity_record(made.parity, reloaded),
    }


@dataclass(frozen=True)
class _Made:
    """The written artifact, before verification."""

    folder: Path
    summary: dict[str, Any]
    choices: HyperParameters
    parity: Parity


def _train(
    request: TrainRequest, port: ChildPort, distributed: DistributedRun | None
) -> _Made | None:
    ranks: Ranks = distributed.ranks if distributed else SingleRank()
    cost_meter = set_up(request, ranks.size)
    tokenizer = _tokenizer_of(request)
    splits = read_splits(request, tokenizer)
    questions = questions_of(request, tokenizer)
    splits["train"], texts = with_teacher_texts(request, splits["train"], tokenizer, port)
    decision = auto_choices_of(request, splits, port, ranks)
    request = replace(request, hyper_parameters=decision.apply(request.hyper_parameters))
    model = model_of(request)
    objective = make_objective(request)
    for split in ("train", "valid"):
        splits[split] = with_references(splits[split], request, model, reference_progress(port))
    loop = loop_of(request, model, objective, splits, port, cost_meter, distributed)
    loop.progress.decision, loop.progress.teacher_texts = decision.as_json(), texts
    if ranks.is_leader and request.hyper_parameters.method != QLORA:
        _evaluate_base(model, questions, loop.progress, port)
    loop.run()
    if distributed is not None:
        weights = distributed.result()
        if not ranks.is_leader:
            return None
        model = model_of(request)
        model.load_weights(weights)
    model.round_to_stored()
    loss = _valid_loss(objective, model, splits["valid"])
    model = as_served(model, request)
    _evaluate_base(model, questions, loop.progress, port)
    report = _evaluated(model, objective, questions, loop.progress, request, port)
    port.report("save", max_silence_seconds=LOAD_SECONDS)
    summary = summary_of(loop.progress, model, own_rows(splits["train"]), report)
    summary |= cost_meter.summary(loop.progress.flops, loop.progress.seconds) | decision.summary()
    summary |= loss | assessment_of(summary | loss, model.learns_by_adapter)
    parity = take_model_goldens(model, tokenizer, splits, request, _each_pass(port))
    folder = write_folder(port.folder / "model", model, loop.metrics.path, report)
    parity.goldens.write(folder)
    return _Made(folder, summary, request.hyper_parameters, parity)


def _tokenizer_of(request: TrainRequest) -> BoundedTokenizer:
    tokenizer = BoundedTokenizer.load(request.base_folder)
    require_special_tokens(request.base_folder, tokenizer)
    return tokenizer


def _each_pass(port: ChildPort) -> Callable[[], None]:
    """Reports each pass that goldens take: a large model needs minutes for all."""
    passes = count(1)
    return lambda: port.report("save", done=next(passes), max_silence_seconds=LOAD_SECONDS)


def _valid_loss(
    objective: Objective, model: TrainedModel, valid: Sequence[TrainingExample]
) -> dict[str, float]:
    return {"valid_loss": held_out_loss(objective, model, valid)} if valid else {}


def _evaluated(
    model: TrainedModel,
    objective: Objective,
    questions: Sequence[ChoiceQuestion],
    progress: TrainingProgress,
    request: TrainRequest,
    port: ChildPort,
) -> dict[str, Any]:
    """Content of evaluation.json: base, tuned model and a teacher whose logits were learned."""
    tuned = score_test_split(model, questions, port, phase="evaluate tuned") if questions else None
    taught = _score_teacher(objective, questions, port)
    return evaluation_report(request.choices, progress.base_correct, tuned, taught)


def _score_teacher(
    objective: Objective, questions: Sequence[ChoiceQuestion], port: ChildPort
) -> list[bool] | None:
    """The teacher's results on the test split, if its logits were learned."""
    if not questions or not isinstance(objective, DistillationObjective):
        return None
    return score_test_split(objective.teacher, questions, port, phase="evaluate teacher")


def _evaluate_base(
    model: TrainedModel,
    questions: Sequence[ChoiceQuestion],
    progress: TrainingProgress,
    port: ChildPort,
) -> None:
    """Score the base before the first step, as full fine-tuning overwrites it; saved in
    checkpoints."""
    if questions and progress.base_correct is None:
        with model.as_base():
            progress.base_correct = score_test_split(model, questions, port, phase="evaluate base")
