"""What the loop does when memory is small, when it shall stop, when it has learned enough."""

import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs.child import ChildFailure, ChildPort, Preempted
from tokenization.chat_tokenizer import ChatTokenizer
from torch import Tensor
from trainer.domain.hyper_parameters import HyperParameters, decide
from trainer.domain.limits import Price, TrainingLimits
from trainer.domain.training_plan import plan_training
from trainer.training.accounts import Accounts
from trainer.training.loop import TrainingLoop
from trainer.training.model import TrainedModel
from trainer.training.objective import LearnAnswers
from trainer.training.packs import Example
from trainer.training.rows import encode_rows
from trainer.training.validation import Validation

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]
ROWS, STEPS = 24, 4


class Port(ChildPort):
    """Keeps what the loop says."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__({}, folder, report_fd=-1)
        self.reports: list[dict[str, float]] = []
        self.saved: list[int] = []

    def report(self, phase: str, *, metrics: Any = None, **_rest: Any) -> None:
        self.reports.append(dict(metrics or {}))

    def checkpoint(self, folder: Path, step: int) -> None:
        self.saved.append(step)


class SmallMemory(LearnAnswers):
    """Fails as torch does where a micro-batch has more than so many rows."""

    def __init__(self, most: int) -> None:
        self.most = most

    def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
        found = super().losses(model, rows)
        yield next(found)
        if len(rows) > self.most:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        yield from found


class StopsWithin(LearnAnswers):
    """The run is told to stop while this step is computed."""

    def __init__(self, port: ChildPort, step: int) -> None:
        self._port, self._step = port, step
        self.now = 0.0
        """By a clock that only computing moves: an hour for each micro-batch."""

    def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
        self.now += 3600
        yield from super().losses(model, rows)

    def weight(self, rows: Sequence[Example]) -> float:
        self._step -= 1
        self._port.stop_requested = self._step < 0
        return super().weight(rows)


@pytest.fixture
def examples(tiny_base: Path, toy_rows: Rows) -> list[Example]:
    tokenizer = ChatTokenizer.load(tiny_base)
    return encode_rows(toy_rows(ROWS), tokenizer, split="train", max_tokens=512)


def choices(**given: float) -> HyperParameters:
    # Dropout: the random generator counts, too.
    return decide(
        "lora",
        {
            **{"max_steps": STEPS, "batch_size": 6, "gradient_accumulation_steps": 1},
            **{"learning_rate": 0.01, "lora_dropout": 0.1, "checkpoint_steps": 100},
            **given,
        },
    )


def loop_of(
    base: Path, examples: list[Example], port: Port, chosen: HyperParameters, **parts: Any
) -> tuple[TrainingLoop, TrainedModel]:
    torch.set_num_threads(1)
    model = TrainedModel.load(base, chosen, "mv-base")
    plan = plan_training(len(examples), chosen)
    return TrainingLoop(model, examples, plan, chosen, port, **parts), model


def weights(model: TrainedModel) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.trainable.items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def test_too_little_memory_halves_micro_batches_and_nothing_else(
    tmp_path: Path, tiny_base: Path, examples: list[Example]
) -> None:
    small, asked = Port(tmp_path / "small"), Port(tmp_path / "asked")
    loop, learned = loop_of(tiny_base, examples, small, choices(), objective=SmallMemory(3))
    loop.run()
    other, expected = loop_of(tiny_base, examples, asked, choices(gradient_accumulation_steps=2))
    other.run()

    # Six rows do not fit, three do: the run is that which asked for two micro-batches of three.
    assert same(weights(learned), weights(expected))
    assert loop.progress.micro_batch_rows == 3
    assert other.progress.micro_batch_rows == 0
    assert [one.get("tokens") for one in small.reports] == [
        one.get("tokens") for one in asked.reports
    ]


def test_a_row_that_fits_in_no_memory_ends_the_run_with_its_length(
    tmp_path: Path, tiny_base: Path, examples: list[Example]
) -> None:
    loop, model = loop_of(tiny_base, examples, Port(tmp_path), choices(), objective=SmallMemory(0))
    before = weights(model)

    with pytest.raises(ChildFailure) as refused:
        loop.run()

    assert refused.value.code == "OUT_OF_MEMORY"
    first = plan_training(ROWS, choices()).rows_of(0)
    longest = max(len(examples[number].ids) for number in first)
    assert f"longest row has {longest} tokens" in refused.value.message
    assert same(weights(model), before)


def test_a_long_step_is_given_up_when_the_run_shall_stop_and_is_taken_again_later(
    tmp_path: Path, tiny_base: Path, examples: list[Example]
) -> None:
    chosen = choices(gradient_accumulation_steps=3)
    whole, expected = loop_of(tiny_base, examples, Port(tmp_path / "whole"), chosen)
    whole.run()
    port = Port(tmp_path / "stopped")
    slow = StopsWithin(port, 2)
    stopped, _ = loop_of(
        *(tiny_base, examples, port, chosen), objective=slow, clock=lambda: slow.now
    )

    with pytest.raises(Preempted):
        stopped.run()
    assert port.saved == [2]

    port.stop_requested = False
    resumed, learned = loop_of(tiny_base, examples, Port(tmp_path / "resumed"), chosen)
    resumed.resume(port.folder / "checkpoint")
    resumed.run()
    assert resumed.progress.step == STEPS
    assert same(weights(learned), weights(expected))


def test_a_short_step_is_finished_when_the_run_shall_stop(
    tmp_path: Path, tiny_base: Path, examples: list[Example]
) -> None:
    port = Port(tmp_path)
    loop, _ = loop_of(
        tiny_base,
        examples,
        port,
        choices(gradient_accumulation_steps=3),
        objective=StopsWithin(port, 2),
    )

    with pytest.raises(Preempted):
        loop.run()

    assert port.saved == [3]


def test_only_the_rows_of_the_micro_batch_whose_loss_is_no_number_are_named(
    tmp_path: Path, tiny_base: Path, examples: list[Example]
) -> None:
    chosen = choices(gradient_accumulation_steps=3)
    numbers = plan_training(ROWS, chosen).rows_of(0)

    class Broken(LearnAnswers):
        def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
            broken = examples[numbers[2]] in rows
            for loss in super().losses(model, rows):
                yield loss * float("nan") if broken else loss

    loop, model = loop_of(tiny_base, examples, Port(tmp_path), chosen, objective=Broken())
    before = weights(model)

    with pytest.raises(ChildFailure) as refused:
        loop.run()

    assert f"(rows {numbers[2] + 1}, {numbers[3] + 1} of" in refused.value.message
    assert same(weights(model), before)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (TrainingLimits(max_seconds=250), "max_seconds"),
        (TrainingLimits(max_cost=5.0), "max_cost"),
    ],
)
def test_a_budget_ends_the_run_with_what_it_has(
    tmp_path: Path, tiny_base: Path, examples: list[Example], limits: TrainingLimits, reason: str
) -> None:
    # Each look at the clock is ten seconds later; two cores cost 36 an hour each.
    ticks = count(step=10)
    accounts = Accounts(2, Price(per_hour=36.0, currency="EUR"), clock=lambda: float(next(ticks)))
    port = Port(tmp_path)
    loop, _ = loop_of(
        tiny_base,
        examples,
        port,
        choices(max_steps=40, epochs=10),
        limits=limits,
        accounts=accounts,
    )

    loop.run()

    assert loop.progress.stopped_by == reason
    assert 0 < loop.progress.step < 40
    assert port.saved == [loop.progress.step]
    summary = accounts.summary(loop.progress.flops, loop.progress.seconds)
    assert summary["currency"] == "EUR"
    assert summary["cost"] == pytest.approx(float(summary["unit_seconds"]) * 36.0 / 3600)


def test_a_plateau_ends_the_run_with_the_best_weights(
    tmp_path: Path, tiny_base: Path, examples: list[Example]
) -> None:
    losses = iter([3.0, 1.0, 2.0, 1.5])
    seen: list[dict[str, Tensor]] = []

    def told(_objective: object, model: TrainedModel, _rows: Sequence[Example]) -> float:
        seen.append(weights(model))
        return next(losses)

    chosen, limits = (
        choices(max_steps=40, epochs=10),
        TrainingLimits(evaluation_steps=2, patience=2),
    )
    port = Port(tmp_path)
    model = TrainedModel.load(tiny_base, chosen, "mv-base")
    plan = plan_training(ROWS, chosen)
    validation = Validation(model, examples[:2], limits, plan.steps)
    loop = TrainingLoop(model, examples, plan, chosen, port, validation=validation, limits=limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.training.validation.held_out_loss", told)
        loop.run()

    assert loop.progress.stopped_by == "plateau"
    assert (loop.progress.step, loop.progress.best_step) == (8, 4)
    assert same(weights(model), seen[1])
    assert not same(seen[3], seen[1])


def test_a_full_disk_is_named_and_leaves_the_last_checkpoint(
    tmp_path: Path, tiny_base: Path, examples: list[Example]
) -> None:
    loop, _ = loop_of(tiny_base, examples, Port(tmp_path), choices(checkpoint_steps=1))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ChildFailure) as refused:
            loop.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert refused.value.code == "DISK_FULL"
    assert "resume" in refused.value.remedy
