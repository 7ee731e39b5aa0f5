"""The learning rate by trial: short runs at rates around the rule's, judged by the valid split.

Each trial begins with the model as it was read and a fresh optimizer, and has a rise and a fall of
its own over the first steps of the run. Nothing of it is left: the run that follows is bit for bit
that of somebody who gave the chosen rate. Nothing is kept between trials either, so that a run that
is interrupted here searches again, and finds the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelmill_jobs.child import ChildFailure, ChildPort, Preempted

from modelmill_trainer.domain.automatic import Decision
from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.domain.training_plan import TrainingPlan, plan_training
from modelmill_trainer.training.distributed.ranks import OneRank
from modelmill_trainer.training.objective import held_out_loss
from modelmill_trainer.training.objectives.making import make_objective, with_references
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.run_setup import asking_base, model_of
from modelmill_trainer.training.step import Stepper
from modelmill_trainer.training.update import LocalUpdate

FACTORS = (1 / 3, 1.0, 3.0)
"""Of the rule's rate; finer ones differ by less than seeds do."""
SHARE = 0.25
"""Of the run's steps, for each trial."""
FEWEST_STEPS, MOST_STEPS = 10, 60
VALID_ROWS = 200
"""At most; the first ones."""
TRIAL_SECONDS = 300.0
DIVERGED = "DIVERGED"


def search_rate(
    request: TrainRequest,
    decision: Decision,
    splits: Mapping[str, Sequence[Example]],
    port: ChildPort,
) -> Decision:
    """The decision with the rate that did best, and what each came to.

    Args:
        request: With what `decision` says, so that its rate is the rule's.

    Raises:
        ChildFailure: There is no valid split, or every rate diverged.
        Preempted: Told to stop.
    """
    if not splits["valid"]:
        raise ChildFailure(
            "NO_VALID_SPLIT",
            "the learning rate is searched by the loss of the valid split, which is empty",
            "Give valid a share of the dataset, or let the rule choose the rate.",
        )
    plan = plan_training(len(splits["train"]), request.hyper_parameters)
    steps = min(max(math.ceil(SHARE * plan.steps), FEWEST_STEPS), MOST_STEPS, plan.steps)
    middle = request.hyper_parameters.learning_rate
    losses: dict[float, float] = {}
    for factor in FACTORS:
        rate = min(float(f"{middle * factor:.2g}"), 1.0)
        trial = replace(request.hyper_parameters, learning_rate=rate, max_steps=steps)
        done = len(losses) * steps
        losses[rate] = _trial(replace(request, hyper_parameters=trial), splits, port, done)
    return _with_best(decision, losses, steps)


def _with_best(decision: Decision, losses: Mapping[float, float], steps: int) -> Decision:
    best = min(losses, key=lambda rate: losses[rate])
    if math.isinf(losses[best]):
        tried = ", ".join(f"{rate:g}" for rate in losses)
        raise ChildFailure(
            DIVERGED,
            f"the loss is not a number at any of the rates {tried}",
            "Look at the rows, or give a lower learning_rate.",
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
    request: TrainRequest, splits: Mapping[str, Sequence[Example]], port: ChildPort, done: int
) -> float:
    """The loss of the valid split after the steps of one trial; infinite where it diverged."""
    choices = request.hyper_parameters
    model = model_of(request)
    plan = plan_training(len(splits["train"]), choices)
    train, valid = (
        with_references(rows, request, model, asking_base(port))
        for rows in (splits["train"], splits["valid"][:VALID_ROWS])
    )
    objective = make_objective(request)
    rows = choices.batch_size // choices.gradient_accumulation_steps
    stepper = Stepper(objective, LocalUpdate(model, choices), rows, OneRank())
    model.train(True)
    try:
        for step in range(plan.steps):
            _step(stepper, plan, step, train, port)
            port.report(
                "search rate",
                done=done + step + 1,
                total=len(FACTORS) * plan.steps,
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
    stepper: Stepper, plan: TrainingPlan, step: int, train: Sequence[Example], port: ChildPort
) -> None:
    numbers = plan.rows_of(step)
    taken = stepper.take(
        *(step, numbers, [train[number] for number in numbers]),
        rate=plan.learning_rate(step),
        abandon=lambda: port.stop_requested,
    )
    if taken is None:
        raise Preempted
