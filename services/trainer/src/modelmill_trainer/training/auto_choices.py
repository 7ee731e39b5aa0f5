"""Resolves automatic hyper-parameters once rows are read; a resumed run keeps the earlier
values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelmill_jobs.child import ChildFailure, ChildPort, Preempted
from transformers import AutoConfig

from modelmill_trainer.domain.auto_choices import (
    TRIAL_FACTORS,
    AutoChoices,
    RunSize,
    decide_auto_choices,
    trial_steps,
)
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.training_plan import TrainingPlan, plan_training
from modelmill_trainer.training.checkpoint import read_progress
from modelmill_trainer.training.distributed.ranks import Ranks, SingleRank
from modelmill_trainer.training.objective import held_out_loss
from modelmill_trainer.training.objectives.make_objective import make_objective, with_references
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.run_setup import model_of, reference_progress
from modelmill_trainer.training.step import Stepper
from modelmill_trainer.training.token_rows import tokens_in
from modelmill_trainer.training.update import LocalUpdate

VALID_ROWS = 200
"""Maximum validation rows of a trial."""
TRIAL_SECONDS = 300.0
DIVERGED = "DIVERGED"


def auto_choices_of(
    request: TrainRequest,
    splits: Mapping[str, Sequence[TrainingExample]],
    port: ChildPort,
    ranks: Ranks,
) -> AutoChoices:
    """Automatic values for a run; empty if all were given.

    Raises:
        ChildFailure: The learning-rate search is impossible.
        Preempted: The run was asked to stop during the search.
    """
    if request.checkpoint_folder is not None:
        # Not recomputed: a newer release may have another rule.
        progress = read_progress(ranks.rank_folder_in(request.checkpoint_folder))
        return AutoChoices.from_json(progress.decision) if progress.decision else AutoChoices({})
    facts = RunSize(
        rows=len(splits["train"]),
        tokens=tokens_in(splits["train"]),
        width=_width(request.base_folder),
        ranks=ranks.size,
    )
    choices = request.hyper_parameters
    decision = decide_auto_choices(choices, facts)
    if not choices.search_learning_rate:
        return decision
    whole = replace(request, hyper_parameters=decision.apply(choices))
    return search_rate(whole, decision, splits, port)


def _width(base: Path) -> int:
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    return int(config.get_text_config().hidden_size)


def search_rate(
    request: TrainRequest,
    decision: AutoChoices,
    splits: Mapping[str, Sequence[TrainingExample]],
    port: ChildPort,
) -> AutoChoices:
    """Search the learning rate: short trial runs around the automatic one, by validation loss.

    Each trial starts from the loaded model with a new optimizer and its own schedule. The search
    leaves no state: the run that follows equals, bit for bit, one with the chosen rate given. An
    interrupted search is repeated and finds the same.

    Args:
        request: With `decision` applied, so that its learning rate is the automatic one.

    Raises:
        ChildFailure: The valid split is empty, or every rate diverged.
        Preempted: The run was asked to stop.

    Returns:
        The automatic values with the best rate, and all losses as the reason.
    """
    if not splits["valid"]:
        raise ChildFailure(
            "NO_VALID_SPLIT",
            "the learning rate is searched by the loss of the valid split, which is empty",
            "Give valid a share of the dataset, or leave out search_learning_rate.",
        )
    plan = plan_training(len(splits["train"]), request.hyper_parameters)
    steps = trial_steps(plan.steps)
    middle = request.hyper_parameters.learning_rate
    losses: dict[float, float] = {}
    for factor in TRIAL_FACTORS:
        rate = min(float(f"{middle * factor:.2g}"), 1.0)
        trial = replace(request.hyper_parameters, learning_rate=rate, max_steps=steps)
        done = len(losses) * steps
        losses[rate] = _trial(replace(request, hyper_parameters=trial), splits, port, done)
    return _with_best(decision, losses, steps)


def _with_best(decision: AutoChoices, losses: Mapping[float, float], steps: int) -> AutoChoices:
    best = min(losses, key=lambda rate: losses[rate])
    if math.isinf(losses[best]):
        tried = ", ".join(f"{rate:g}" for rate in losses)
        raise ChildFailure(
            DIVERGED,
            f"the loss is not a number at any of the rates {tried}",
            "Check the rows, or set a lower learning_rate.",
        )
    came_to = ", ".join(f"{rate:g}: {loss:.4g}" for rate, loss in losses.items())
    return replace(
        decision,
        chosen={**decision.chosen, "learning_rate": best},
        reasons=(
            *(reason for reason in decision.reasons if not reason.startswith("learning_rate ")),
            f"learning_rate {best:g}, because after {steps} steps at each rate the loss of "
            f"the valid split was {came_to}",
        ),
    )


def _trial(
    request: TrainRequest,
    splits: Mapping[str, Sequence[TrainingExample]],
    port: ChildPort,
    done: int,
) -> float:
    """Validation loss after one trial; infinite if it diverged."""
    choices = request.hyper_parameters
    model = model_of(request)
    plan = plan_training(len(splits["train"]), choices)
    train, valid = (
        with_references(rows, request, model, reference_progress(port))
        for rows in (splits["train"], splits["valid"][:VALID_ROWS])
    )
    objective = make_objective(request)
    rows = choices.batch_size // choices.gradient_accumulation_steps
    stepper = Stepper(objective, LocalUpdate(model, choices), rows, SingleRank())
    model.train(True)
    try:
        for step in range(plan.steps):
            _step(stepper, plan, step, train, port)
            port.report(
                "search rate",
                done=done + step + 1,
                total=len(TRIAL_FACTORS) * plan.steps,
                unit="step",
                max_silence_seconds=TRIAL_SECONDS,
            )
    except ChildFailure as failure:
        if failure.code != DIVERGED:
            raise
        return math.inf
    model.train(False)
    loss = held_out_loss(objective, model, valid)
    return loss if math.isfinite(loss) else math.inf


def _step(
    stepper: Stepper,
    plan: TrainingPlan,
    step: int,
    train: Sequence[TrainingExample],
    port: ChildPort,
) -> None:
    numbers = plan.rows_of(step)
    result = stepper.run_step(
        step,
        numbers,
        [train[number] for number in numbers],
        rate=plan.learning_rate(step),
        abandon=lambda: port.stop_requested,
    )
    if result is None:
        raise Preempted
