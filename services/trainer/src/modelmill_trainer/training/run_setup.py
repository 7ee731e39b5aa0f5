"""Builds the parts of a run from its request: rows, plan, model and loop."""

import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from modelmill_evaluation.choices import ChoiceQuestion, choice_questions
from modelmill_jobs.child import ChildFailure, ChildPort, Preempted
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from torch import Tensor

from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import TEACHER_TEXT_TOKENS
from modelmill_trainer.domain.methods import LORA, QLORA
from modelmill_trainer.domain.training_plan import TrainingPlan, plan_training
from modelmill_trainer.training.checkpoint import read_progress
from modelmill_trainer.training.cost_meter import CostMeter
from modelmill_trainer.training.distributed.ranks import Ranks
from modelmill_trainer.training.flops import peak_flops
from modelmill_trainer.training.loop import TrainingLoop
from modelmill_trainer.training.model import TrainedModel, compute_dtype
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.rows import LossSelection, encode_rows, read_split
from modelmill_trainer.training.teacher_texts import as_examples, write_teacher_texts
from modelmill_trainer.training.token_rows import (
    JoinedExamples,
    own_rows,
    read_order,
    token_examples,
    tokens_for,
)
from modelmill_trainer.training.update import Update
from modelmill_trainer.training.validation import TrainableWeights, Validation

SPLITS = ("train", "valid", "test")
ASK_SECONDS = 300.0
"""Per batch of reference likelihoods."""


class DistributedRun(Protocol):
    """A rank's view of a distributed run."""

    @property
    def ranks(self) -> Ranks:
        """The process group."""
        ...

    def update_of(self, model: TrainedModel) -> Update:
        """Create the distributed optimizer; called once, before the properties below."""
        ...

    @property
    def weights(self) -> TrainableWeights:
        """Access to the whole weights."""
        ...

    def result(self) -> dict[str, Tensor]:
        """Final weights in the leader; empty in other ranks."""
        ...


def set_up(request: TrainRequest, ranks: int) -> CostMeter:
    """Enable determinism, and start the cost meter."""
    # Only libraries use this generator; seeded so that they repeat.
    random.seed(request.hyper_parameters.seed)
    # cuBLAS repeats its products with a workspace of a fixed size alone.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(request.threads or len(os.sched_getaffinity(0)))
    # Non-deterministic kernels raise an error, so that a resume is bit-exact.
    torch.use_deterministic_algorithms(True)
    # Only a debugging aid for torch, which slows every operation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    units = torch.cuda.device_count() or torch.get_num_threads()
    peak = peak_flops(compute_dtype())
    return CostMeter(units * ranks, request.price, peak * ranks)


def read_splits(
    request: TrainRequest, tokenizer: ChatTokenizer
) -> dict[str, Sequence[TrainingExample]]:
    """Read each split, from token files if they were made with the base's tokenizer.

    All rows of a validation dataset form the valid split.
    """
    choices, limit = request.hyper_parameters, _row_tokens(request)
    part = LossSelection.by(choices)
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
            "the validation dataset has no rows",
            "Name another one, or none to validate on the dataset's valid split.",
        )
    return splits


def _row_tokens(request: TrainRequest) -> int:
    """Most tokens of a row."""
    choices = request.hyper_parameters
    context = request.context_tokens or sys.maxsize
    return choices.max_tokens_per_row or context - choices.soft_prompt_tokens


def _examples(
    request: TrainRequest,
    folder: Path,
    split: str,
    tokenizer: ChatTokenizer,
    limit: int,
    part: LossSelection,
) -> Sequence[TrainingExample]:
    tokens = tokens_for(request.base_folder, folder)
    if tokens is not None:
        return token_examples(folder, tokens, split, max_tokens=limit, part=part)
    rows = read_split(folder, split)
    return encode_rows(rows, tokenizer, split=split, max_tokens=limit, part=part)


def model_of(request: TrainRequest) -> TrainedModel:
    """Load the model before its first step."""
    choices, name = request.hyper_parameters, request.base_version_id
    return TrainedModel.load(request.base_folder, choices, name, request.adapter_folder)


def as_served(model: TrainedModel, request: TrainRequest) -> TrainedModel:
    """The model as engines will run it: what QLoRA trained is put over the base as it is stored.

    In main memory: a base that is trained in four bits may be too large for the GPU.
    """
    if request.hyper_parameters.method != QLORA:
        return model
    choices = replace(request.hyper_parameters, method=LORA)
    whole = TrainedModel.load(request.base_folder, choices, request.base_version_id, device="cpu")
    whole.load_weights(model.trainable)
    whole.train(False)
    return whole


def _plan_of(request: TrainRequest, examples: Sequence[TrainingExample]) -> TrainingPlan:
    own, rows = own_rows(examples), len(examples)
    order, repeats = read_order(request.dataset_folder, own)
    if order:
        # A curriculum says nothing about texts that follow its rows.
        order = [*order, *range(own, rows)]
    return plan_training(rows, request.hyper_parameters, order=order, order_repeats=repeats)


def with_teacher_texts(
    request: TrainRequest,
    rows: Sequence[TrainingExample],
    tokenizer: ChatTokenizer,
    port: ChildPort,
) -> tuple[Sequence[TrainingExample], list[list[int]]]:
    """Rows with the texts that the teacher writes behind them, and the texts' token ids.

    A resumed run goes on with the texts of its checkpoint.
    """
    choices, folder = request.hyper_parameters, request.teacher_folder
    if not choices.teacher_texts or folder is None:
        return rows, []
    if request.checkpoint_folder is not None:
        texts = read_progress(request.checkpoint_folder).teacher_texts
    else:
        texts = write_teacher_texts(
            folder,
            request.teacher_adapter_folder,
            count=choices.teacher_texts,
            max_tokens=min(TEACHER_TEXT_TOKENS, _row_tokens(request)),
            vocab_size=tokenizer.vocab_size,
            seed=choices.seed,
            report=_progress_of("write texts", "text", port),
        )
    return JoinedExamples(rows, as_examples(texts)), texts


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


def reference_progress(port: ChildPort) -> Callable[[int, int], None]:
    """Reports rows that the base is asked about."""
    return _progress_of("ask base", "row", port)


def _progress_of(phase: str, unit: str, port: ChildPort) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        port.report(phase, done=done, total=total, unit=unit, max_silence_seconds=ASK_SECONDS)

    return report


def loop_of(
    request: TrainRequest,
    model: TrainedModel,
    objective: Objective,
    splits: Mapping[str, Sequence[TrainingExample]],
    port: ChildPort,
    cost_meter: CostMeter,
    distributed: DistributedRun | None,
) -> TrainingLoop:
    plan = _plan_of(request, splits["train"])
    update = distributed.update_of(model) if distributed else None
    ranks = distributed.ranks if distributed else None
    weights = distributed.weights if distributed else None
    validation = Validation(
        model,
        splits["valid"],
        request.limits,
        plan.steps,
        objective,
        ranks=ranks,
        weights=weights,
        watched=request.validation_folder is not None,
    )
    loop = TrainingLoop(
        model,
        splits["train"],
        plan,
        request.hyper_parameters,
        port,
        objective=objective,
        validation=validation,
        update=update,
        ranks=ranks,
        limits=request.limits,
        cost_meter=cost_meter,
        seconds_between_interruptions=request.seconds_between_interruptions,
    )
    _restore(loop, request)
    return loop


def _restore(loop: TrainingLoop, request: TrainRequest) -> None:
    if request.checkpoint_folder is not None:
        loop.resume(request.checkpoint_folder)
    elif request.base_correct is not None:
        loop.progress.base_correct = list(request.base_correct)
