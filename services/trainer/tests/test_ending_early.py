"""A run that ends before its plan does: by a budget, or because it learns no more."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.child import Preempted
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.limits import MachinePrice, TrainingLimits
from modelmill_trainer.domain.training_plan import plan_training
from modelmill_trainer.training.cost_meter import CostMeter
from modelmill_trainer.training.loop import TrainingLoop
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import AnswerObjective
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.rows import encode_rows
from modelmill_trainer.training.validation import Validation
from torch import Tensor
from trainer_support.loops import Port, StopsWithin, choices, loop_of, same, weights

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]
ROWS = 24


@pytest.fixture
def examples(tiny_base: Path, toy_rows: Rows) -> list[TrainingExample]:
    tokenizer = ChatTokenizer.load(tiny_base)
    return encode_rows(toy_rows(ROWS), tokenizer, split="train", max_tokens=512)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (TrainingLimits(max_seconds=250), "max_seconds"),
        (TrainingLimits(max_cost=5.0), "max_cost"),
    ],
)
def test_a_reached_budget_ends_the_run_with_its_current_weights(
    tmp_path: Path,
    tiny_base: Path,
    examples: list[TrainingExample],
    limits: TrainingLimits,
    reason: str,
) -> None:
    # Each look at the clock is ten seconds later; two cores cost 36 an hour each.
    ticks = count(step=10)
    cost_meter = CostMeter(
        2, MachinePrice(per_hour=36.0, currency="EUR"), clock=lambda: float(next(ticks))
    )
    port = Port(tmp_path)
    loop, _ = loop_of(
        tiny_base,
        examples,
        port,
        choices(max_steps=40, epochs=10),
        limits=limits,
        cost_meter=cost_meter,
    )

    loop.run()

    assert loop.progress.stopped_by == reason
    assert 0 < loop.progress.step < 40
    assert port.saved == [loop.progress.step]
    summary = cost_meter.summary(loop.progress.flops, loop.progress.seconds)
    assert summary["currency"] == "EUR"
    assert summary["cost"] == pytest.approx(float(summary["unit_seconds"]) * 36.0 / 3600)


class Measures:
    """Held-out losses as they shall be, one before the first step, and the weights of each."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []
        self._losses = iter([4.0, 3.0, 1.0, 2.0, 1.5])

    def __call__(
        self, _objective: object, model: TrainedModel, _rows: Sequence[TrainingExample]
    ) -> float:
        self.seen.append(weights(model))
        return next(self._losses)


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> Measures:
    told = Measures()
    monkeypatch.setattr("modelmill_trainer.training.validation.held_out_loss", told)
    return told


def measured_loop(
    base: Path, examples: list[TrainingExample], port: Port, objective: AnswerObjective
) -> tuple[TrainingLoop, TrainedModel]:
    """Measures every second step, and ends after two that are no better."""
    chosen = choices(max_steps=40, epochs=10)
    limits = TrainingLimits(evaluation_steps=2, patience=2)
    plan = plan_training(ROWS, chosen)
    model = TrainedModel.load(base, chosen, "mv-base")
    validation = Validation(model, examples[:2], limits, plan.steps)
    loop = TrainingLoop(
        *(model, examples, plan, chosen, port),
        objective=objective,
        validation=validation,
        limits=limits,
    )
    return loop, model


def test_a_plateau_ends_the_run_with_the_best_weights(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample], measures: Measures
) -> None:
    loop, model = measured_loop(tiny_base, examples, Port(tmp_path), AnswerObjective())
    loop.run()

    assert loop.progress.stopped_by == "plateau"
    assert (loop.progress.step, loop.progress.best_step) == (8, 4)
    assert same(weights(model), measures.seen[2])
    assert not same(measures.seen[4], measures.seen[2])


def test_the_best_weights_outlive_an_interruption(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample], measures: Measures
) -> None:
    # The second measure is the best one; the run is stopped after the third.
    first = Port(tmp_path / "first")
    with pytest.raises(Preempted):
        measured_loop(tiny_base, examples, first, StopsWithin(first, 5))[0].run()
    loop, model = measured_loop(tiny_base, examples, Port(tmp_path / "second"), AnswerObjective())
    loop.resume(first.folder / "checkpoint")
    loop.run()

    assert first.saved == [6]
    assert (loop.progress.step, loop.progress.best_step) == (8, 4)
    assert loop.progress.stopped_by == "plateau"
    assert same(weights(model), measures.seen[2])


def test_a_validation_dataset_is_measured_without_limits_and_does_not_affect_weights(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample], measures: Measures
) -> None:
    chosen = choices(max_steps=4, epochs=10)
    plan = plan_training(ROWS, chosen)
    model = TrainedModel.load(tiny_base, chosen, "mv-base")
    watching = Validation(model, examples[:2], TrainingLimits(), plan.steps, watched=True)
    loop = TrainingLoop(
        *(model, examples, plan, chosen, Port(tmp_path)),
        objective=AnswerObjective(),
        validation=watching,
    )

    loop.run()

    assert loop.progress.valid_losses == [(1, 3.0), (2, 1.0), (3, 2.0), (4, 1.5)]
    assert same(weights(model), measures.seen[-1])
    assert not same(measures.seen[-1], measures.seen[2])


def test_a_run_may_be_silent_for_longer_where_it_validates_many_rows(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample], measures: Measures
) -> None:
    chosen = choices(max_steps=1)
    plan = plan_training(ROWS, chosen)
    model = TrainedModel.load(tiny_base, chosen, "mv-base")
    seconds = []
    for rows in ((), examples * 100):
        port = Port(tmp_path / str(len(rows)))
        validation = Validation(model, rows, TrainingLimits(), plan.steps)
        TrainingLoop(model, examples, plan, chosen, port, validation=validation).run()
        seconds.append(port.longest_silence)

    # Ten tokens a second are slow, and not hung.
    tokens = 100 * sum(len(example.ids) for example in examples)
    assert seconds[1] - seconds[0] >= tokens / 10
