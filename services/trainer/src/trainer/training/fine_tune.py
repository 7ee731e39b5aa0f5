"""One fine-tuning run from folders to a folder: load, examine the base, train, examine, save."""

import json
import os
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from evaluation.choices import ChoiceQuestion, choice_questions
from jobs.child import ChildFailure, ChildPort
from tokenization.chat_tokenizer import ChatTokenizer
from torch import Tensor

from trainer.domain.train_request import TrainRequest
from trainer.domain.training_plan import TrainingPlan, plan_training
from trainer.training.accounts import Accounts
from trainer.training.checkpoint import METRICS
from trainer.training.distributed.ranks import Ranks
from trainer.training.exam import exam_report, sit_exam
from trainer.training.goldens import (
    Parity,
    check_artifact,
    parity_record,
    refuse_tokens_in_pieces,
    take_from,
)
from trainer.training.loop import TrainingLoop
from trainer.training.loss import mean_loss
from trainer.training.memory import peak_bytes
from trainer.training.model import TrainedModel
from trainer.training.packs import Example
from trainer.training.precision import compute_dtype
from trainer.training.rows import encode_rows, read_split
from trainer.training.token_rows import read_order, read_tokens_of, tokens_for
from trainer.training.update import Update
from trainer.training.validation import Validation, Weights
from trainer.training.work import peak_flops

LOAD_SECONDS = 300.0
EVALUATION = "evaluation.json"


class Division(Protocol):
    """A run divided among processes, as one of them sees it."""

    @property
    def ranks(self) -> Ranks:
        """All of them."""
        ...

    def update_of(self, model: TrainedModel) -> Update:
        """How the model's weights change; called once, before all that follows."""
        ...

    @property
    def weights(self) -> Weights:
        """The model's, whole where they are asked for."""
        ...

    def result(self) -> dict[str, Tensor]:
        """The weights that the run ends with, in the rank that leads; nothing in the others."""
        ...


def fine_tune(port: ChildPort, division: Division | None = None) -> Mapping[str, Any]:
    """Do what `port.request` (a TrainRequest) says.

    Args:
        division: The ranks that the run is divided among, of which this process is one.

    Returns:
        `folder` with the finished model, the `summary` of the run, and its `parity`; nothing in a
        rank that does not lead.

    Raises:
        ChildFailure: the dataset or the choices do not allow it, or the run diverged.
        Preempted: told to stop; the last checkpoint is where to go on.
    """
    request = TrainRequest.from_json(port.request)
    port.report("load", max_silence_seconds=LOAD_SECONDS)
    made = _train(request, port, division)
    if made is None:
        return {}
    # By now the trained model is gone, whose memory the one that is read back needs.
    port.report("check", max_silence_seconds=LOAD_SECONDS)
    reloaded = check_artifact(made.folder, request.base_folder, made.parity.goldens)
    return {
        "folder": str(made.folder),
        "summary": made.summary | (reloaded.figures() if reloaded else {}),
        "parity": parity_record(made.parity, reloaded),
    }


@dataclass(frozen=True)
class _Made:
    """What a run has written, not yet read back."""

    folder: Path
    summary: dict[str, Any]
    parity: Parity


def _train(request: TrainRequest, port: ChildPort, division: Division | None) -> _Made | None:
    leads = division is None or division.ranks.leads
    accounts = _set_up(request, division.ranks.size if division else 1)
    tokenizer = ChatTokenizer.load(request.base_folder)
    refuse_tokens_in_pieces(request.base_folder, tokenizer)
    splits = _read_splits(request, tokenizer)
    questions = _questions(request, tokenizer)
    plan = _plan(request, len(splits["train"]))
    choices = request.hyper_parameters
    model = TrainedModel.load(request.base_folder, choices, request.base_version_id)

    loop = _loop(request, model, splits, plan, port, accounts, division)
    if questions and loop.progress.base_correct is None and leads:
        # Before the first step: a full run changes the base itself. Kept in every checkpoint.
        with model.as_base():
            loop.progress.base_correct = sit_exam(model, questions, port, phase="evaluate base")
    loop.run()
    if division is not None:
        weights = division.result()
        if not leads:
            return None
        model = TrainedModel.load(request.base_folder, choices, request.base_version_id)
        model.take(weights)
    model.round_to_stored()
    tuned = sit_exam(model, questions, port, phase="evaluate tuned") if questions else None
    report = exam_report(request.choices, loop.progress.base_correct, tuned)
    port.report("save", max_silence_seconds=LOAD_SECONDS)
    summary = _summary(loop, len(splits["train"]), report)
    summary |= accounts.summary(loop.progress.flops, loop.progress.seconds)
    if splits["valid"]:
        summary["valid_loss"] = mean_loss(model, splits["valid"])
    parity = take_from(model, tokenizer, splits, request)
    folder = _write(port.folder / "model", model, loop.metrics.path, report)
    parity.goldens.write(folder)
    return _Made(folder, summary, parity)


def _set_up(request: TrainRequest, ranks: int) -> Accounts:
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
    return Accounts(units * ranks, request.price, peak * ranks)


def _read_splits(request: TrainRequest, tokenizer: ChatTokenizer) -> dict[str, Sequence[Example]]:
    """Each split; from the dataset's token files when they are those of the base's tokenizer."""
    limit = request.hyper_parameters.max_tokens_per_row or request.context_tokens or sys.maxsize
    folder = request.dataset_folder
    tokens = tokens_for(request.base_folder, folder)
    splits: dict[str, Sequence[Example]] = {}
    for split in ("train", "valid", "test"):
        if tokens is not None:
            splits[split] = read_tokens_of(folder, tokens, split, max_tokens=limit)
        else:
            rows = read_split(folder, split)
            splits[split] = encode_rows(rows, tokenizer, split=split, max_tokens=limit)
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
    splits: Mapping[str, Sequence[Example]],
    plan: TrainingPlan,
    port: ChildPort,
    accounts: Accounts,
    division: Division | None,
) -> TrainingLoop:
    update = division.update_of(model) if division else None
    ranks = division.ranks if division else None
    weights = division.weights if division else None
    loop = TrainingLoop(
        *(model, splits["train"], plan, request.hyper_parameters, port),
        validation=Validation(
            *(model, splits["valid"], request.limits, plan.steps), ranks=ranks, weights=weights
        ),
        update=update,
        ranks=ranks,
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
