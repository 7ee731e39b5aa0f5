"""What the loop does when memory is small, when it shall stop, when it has learned enough."""

import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.child import ChildFailure, Preempted
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.training_plan import plan_training
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import AnswerObjective
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.rows import encode_rows
from torch import Tensor
from trainer_support.loops import STEPS, Port, StopsWithin, choices, loop_of, same, weights

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]
ROWS = 24


class SmallMemory(AnswerObjective):
    """Fails as torch does where a micro-batch has more than so many rows."""

    def __init__(self, most: int) -> None:
        self.most = most

    def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        found = super().losses(model, rows)
        yield next(found)
        if len(rows) > self.most:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        yield from found


@pytest.fixture
def examples(tiny_base: Path, toy_rows: Rows) -> list[TrainingExample]:
    tokenizer = ChatTokenizer.load(tiny_base)
    return encode_rows(toy_rows(ROWS), tokenizer, split="train", max_tokens=512)


def test_out_of_memory_halves_micro_batches_without_changing_results(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample]
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


def test_a_row_that_exceeds_memory_fails_the_run_with_its_length(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample]
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


def test_a_stop_request_abandons_a_long_step_which_is_repeated_later(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample]
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


def test_a_stop_request_lets_a_short_step_finish(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample]
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


def test_a_non_finite_loss_names_only_the_rows_of_its_micro_batch(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample]
) -> None:
    chosen = choices(gradient_accumulation_steps=3)
    numbers = plan_training(ROWS, chosen).rows_of(0)

    class Broken(AnswerObjective):
        def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
            broken = examples[numbers[2]] in rows
            for loss in super().losses(model, rows):
                yield loss * float("nan") if broken else loss

    loop, model = loop_of(tiny_base, examples, Port(tmp_path), chosen, objective=Broken())
    before = weights(model)

    with pytest.raises(ChildFailure) as refused:
        loop.run()

    assert f"(rows {numbers[2] + 1}, {numbers[3] + 1} of" in refused.value.message
    assert same(weights(model), before)


def test_a_full_disk_is_reported_and_keeps_the_last_checkpoint(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample]
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
