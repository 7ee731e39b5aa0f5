"""One fine-tuning run from folders to a folder: load, examine the base, train, examine, save."""

import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from evaluation.choices import ChoiceQuestion, choice_questions
from jobs.child import ChildFailure, ChildPort, Preempted
from tokenization.chat_tokenizer import ChatTokenizer

from trainer.domain.train_request import TrainRequest
from trainer.domain.training_plan import TrainingPlan, plan_training
from trainer.training.accounts import Accounts
from trainer.training.checkpoint import METRICS
from trainer.training.exam import exam_report, sit_exam
from trainer.training.learned_part import LearnedPart
from trainer.training.loop import TrainingLoop
from trainer.training.memory import peak_bytes
from trainer.training.model import TrainedModel
from trainer.training.objective import Objective, held_out_loss
from trainer.training.objectives.making import make_objective, with_references
from trainer.training.packs import Example
from trainer.training.precision import compute_dtype
from trainer.training.rows import encode_rows, read_split
from trainer.training.token_rows import read_order, read_tokens_of, tokens_for
from trainer.training.validation import Validation
from trainer.training.work import peak_flops

LOAD_SECONDS = 300.0
ASK_SECONDS = 300.0
"""For the base's opinion of some pairs."""
EVALUATION = "evaluation.json"


def fine_tune(port: ChildPort) -> Mapping[str, Any]:
    """Do what `port.request` (a TrainRequest) says.

    Returns:
        `folder` with the finished model, and the `summary` of the run.

    Raises:
        ChildFailure: the dataset or the choices do not allow it, or the run diverged.
        Preempted: told to stop; the last checkpoint is where to go on.
    """
    request = TrainRequest.from_json(port.request)
    port.report("load", max_silence_seconds=LOAD_SECONDS)
    accounts = _set_up(request)
    tokenizer = ChatTokenizer.load(request.base_folder)
    splits = _read_splits(request, tokenizer)
    questions = _questions(request, tokenizer)
    plan = _plan(request, len(splits["train"]))
    choices = request.hyper_parameters
    model = TrainedModel.load(request.base_folder, choices, request.base_version_id)

    objective = make_objective(request)
    for split in ("train", "valid"):
        splits[split] = with_references(splits[split], request, model, _asking_base(port))
    loop = _loop(request, model, objective, splits, plan, port, accounts)
    if questions and loop.progress.base_correct is None:
        # Before the first step: a full run changes the base itself. Kept in every checkpoint.
        with model.as_base():
            loop.progress.base_correct = sit_exam(model, questions, port, phase="evaluate base")
    loop.run()
    model.round_to_stored()
    tuned = sit_exam(model, questions, port, phase="evaluate tuned") if questions else None
    report = exam_report(request.choices, loop.progress.base_correct, tuned)
    port.report("save", max_silence_seconds=LOAD_SECONDS)
    summary = _summary(loop, len(splits["train"]), report)
    summary |= accounts.summary(loop.progress.flops, loop.progress.seconds)
    if splits["valid"]:
        summary["valid_loss"] = held_out_loss(objective, model, splits["valid"])
    folder = _write(port.folder / "model", model, loop.metrics.path, report)
    return {"folder": str(folder), "summary": summary}


def _asking_base(port: ChildPort) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        port.report("ask base", done=done, total=total, unit="row", max_silence_seconds=ASK_SECONDS)

    return report


def _set_up(request: TrainRequest) -> Accounts:
    """Make what is computed repeatable, and begin to count what it costs."""
    # Nothing of ours draws from it; a library that does shall draw the same again.
    random.seed(request.hyper_parameters.seed)
    torch.set_num_threads(request.threads or len(os.sched_getaffinity(0)))
    # A kernel whose result depends on timing raises instead, so that a resume is bit-exact.
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory would find bugs in torch, at a price for every operation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    units = torch.cuda.device_count() or torch.get_num_threads()
    peak = peak_flops(compute_dtype(request.hyper_parameters.method))
    return Accounts(units, request.price, peak)


def _read_splits(request: TrainRequest, tokenizer: ChatTokenizer) -> dict[str, Sequence[Example]]:
    """Each split; from the dataset's token files when they are those of the base's tokenizer."""
    choices = request.hyper_parameters
    context = request.context_tokens or sys.maxsize
    limit = choices.max_tokens_per_row or context - choices.beginning_tokens
    part = LearnedPart.by(choices)
    folder = request.dataset_folder
    tokens = tokens_for(request.base_folder, folder)
    splits: dict[str, Sequence[Example]] = {}
    for split in ("train", "valid", "test"):
        if tokens is not None:
            splits[split] = read_tokens_of(folder, tokens, split, max_tokens=limit, part=part)
        else:
            rows = read_split(folder, split)
            splits[split] = encode_rows(rows, tokenizer, split=split, max_tokens=limit, part=part)
    if not splits["train"]:
        raise ChildFailure(
            "NO_TRAINING_ROWS",
            "the dataset's train split is empty",
            "Upload more rows, or give train a larger share.",
        )
    return splits


def _plan(request: TrainRequest, rows: int) -> TrainingPlan:
    order, repeats = read_order(request.dataset_folder, rows)
    return plan_training(rows, request.hyper_parameters, order=order, order_repeats=repeats)


def _loop(
    request: TrainRequest,
    model: TrainedModel,
    objective: Objective,
    splits: Mapping[str, Sequence[Example]],
    plan: TrainingPlan,
    port: ChildPort,
    accounts: Accounts,
) -> TrainingLoop:
    loop = TrainingLoop(
        *(model, splits["train"], plan, request.hyper_parameters, port),
        objective=objective,
        validation=Validation(model, splits["valid"], request.limits, plan.steps, objective),
        limits=request.limits,
        accounts=accounts,
        seconds_between_interruptions=request.seconds_between_interruptions,
    )
    if request.checkpoint_folder is not None:
        loop.resume(request.checkpoint_folder)
    return loop


def _questions(request: TrainRequest, tokenizer: ChatTokenizer) -> list[ChoiceQuestion]:
    if not request.choices:
        return []
    try:
        return choice_questions(
            read_split(request.dataset_folder, "test"), request.choices, tokenizer
        )
    except ValueError as error:
        raise ChildFailure(
            "NOT_SCORABLE",
            f"the test split cannot be scored: {error}",
            "Make the dataset again, or train without evaluation.",
        ) from error


def _summary(loop: TrainingLoop, rows: int, report: Mapping[str, Any]) -> dict[str, Any]:
    progress = loop.progress
    summary: dict[str, Any] = {
        "rows": rows,
        "train_tokens": progress.tokens,
        "steps": progress.step,
        "first_loss": progress.first_loss,
        "last_loss": progress.last_loss,
        "train_seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds,
        "differences": report["differences"],
        "peak_memory_bytes": peak_bytes(),
    }
    if progress.stopped_by:
        summary["stopped_by"] = progress.stopped_by
    if progress.best_valid_loss is not None:
        summary |= {"best_step": progress.best_step, "best_valid_loss": progress.best_valid_loss}
    if progress.micro_batch_rows:
        summary["micro_batch_rows"] = progress.micro_batch_rows
    for name in ("base", "tuned"):
        if name in report:
            summary[f"accuracy_{name}"] = report[name]["accuracy"]
    return summary


def _write(folder: Path, model: TrainedModel, metrics: Path, report: Mapping[str, Any]) -> Path:
    folder.mkdir()
    model.save(folder)
    shutil.copyfile(metrics, folder / METRICS)
    (folder / EVALUATION).write_text(json.dumps(report, indent=2), encoding="utf-8")
    return folder
