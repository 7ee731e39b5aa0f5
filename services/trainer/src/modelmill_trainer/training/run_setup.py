"""What a run begins with: rows, plan and loop, from the folders of its request."""

import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from modelmill_evaluation.choices import ChoiceQuestion, choice_questions
from modelmill_jobs.child import ChildFailure, ChildPort, Preempted
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from torch import Tensor

from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.domain.training_plan import TrainingPlan, plan_training
from modelmill_trainer.training.accounts import Accounts
from modelmill_trainer.training.distributed.ranks import Ranks
from modelmill_trainer.training.learned_part import LearnedPart
from modelmill_trainer.training.loop import TrainingLoop
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.precision import compute_dtype
from modelmill_trainer.training.rows import encode_rows, read_split
from modelmill_trainer.training.token_rows import read_order, read_tokens_of, tokens_for
from modelmill_trainer.training.update import Update
from modelmill_trainer.training.validation import Validation, Weights
from modelmill_trainer.training.work import peak_flops

SPLITS = ("train", "valid", "test")
ASK_SECONDS = 300.0
"""For the base's opinion of some pairs."""


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


def set_up(request: TrainRequest, ranks: int) -> Accounts:
    """Make what is computed repeatable, and begin to count what it costs."""
    # Nothing of ours draws from it; a library that does shall draw the same again.
    random.seed(request.hyper_parameters.seed)
    torch.set_num_threads(request.threads or len(os.sched_getaffinity(0)))
    # A kernel whose result depends on timing raises instead, so that a resume is bit-exact.
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory would find bugs in torch, at a price for every operation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    units = torch.cuda.device_count() or torch.get_num_threads()
    peak = peak_flops(compute_dtype())
    return Accounts(units * ranks, request.price, peak * ranks)


def read_splits(request: TrainRequest, tokenizer: ChatTokenizer) -> dict[str, Sequence[Example]]:
    """Each split; from the dataset's token files when they are those of the base's tokenizer.

    Where there is a dataset to validate on, all its rows are the valid split.
    """
    choices = request.hyper_parameters
    context = request.context_tokens or sys.maxsize
    limit = choices.max_tokens_per_row or context - choices.beginning_tokens
    part = LearnedPart.by(choices)
    splits = {
        split: _examples(request, request.dataset_folder, split, tokenizer, limit, part)
        for split in SPLITS
        if split != "valid" or request.validation_folder is None
    }
    if request.validation_folder is not None:
        folder = request.validation_folder
        found = [_examples(request, folder, each, tokenizer, limit, part) for each in SPLITS]
        splits["valid"] = [row for rows in found for row in rows]
    if not splits["train"]:
        raise ChildFailure(
            "NO_TRAINING_ROWS",
            "the dataset's train split is empty",
            "Upload more rows, or give train a larger share.",
        )
    if request.validation_folder is not None and not splits["valid"]:
        raise ChildFailure(
            "NO_VALIDATION_ROWS",
            "the dataset to validate on has no rows",
            "Give one that has some, or none to validate on the dataset's valid split.",
        )
    return splits


def _examples(
    request: TrainRequest,
    folder: Path,
    split: str,
    tokenizer: ChatTokenizer,
    limit: int,
    part: LearnedPart,
) -> Sequence[Example]:
    tokens = tokens_for(request.base_folder, folder)
    if tokens is not None:
        return read_tokens_of(folder, tokens, split, max_tokens=limit, part=part)
    rows = read_split(folder, split)
    return encode_rows(rows, tokenizer, split=split, max_tokens=limit, part=part)


def model_of(request: TrainRequest) -> TrainedModel:
    """Before its first step."""
    choices, name = request.hyper_parameters, request.base_version_id
    return TrainedModel.load(request.base_folder, choices, name, request.adapter_folder)


def plan_of(request: TrainRequest, rows: int) -> TrainingPlan:
    order, repeats = read_order(request.dataset_folder, rows)
    return plan_training(rows, request.hyper_parameters, order=order, order_repeats=repeats)


def questions_of(request: TrainRequest, tokenizer: ChatTokenizer) -> list[ChoiceQuestion]:
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


def asking_base(port: ChildPort) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        port.report("ask base", done=done, total=total, unit="row", max_silence_seconds=ASK_SECONDS)

    return report


def loop_of(
    request: TrainRequest,
    model: TrainedModel,
    objective: Objective,
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
        objective=objective,
        validation=Validation(
            *(model, splits["valid"], request.limits, plan.steps, objective),
            ranks=ranks,
            weights=weights,
            watched=request.validation_folder is not None,
        ),
        update=update,
        ranks=ranks,
        limits=request.limits,
        accounts=accounts,
        seconds_between_interruptions=request.seconds_between_interruptions,
    )
    if request.checkpoint_folder is not None:
        loop.resume(request.checkpoint_folder)
    elif request.base_correct is not None:
        loop.progress.base_correct = list(request.base_correct)
    return loop
