"""What the work process refuses to train, and what it says about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_jobs.child import ChildFailure, ChildPort
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.training_plan import plan_training
from modelmill_trainer.training.adapters import add_lora
from modelmill_trainer.training.loop import TrainingLoop
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.rows import encode_rows

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def tokenizer(tiny_base: Path) -> ChatTokenizer:
    return ChatTokenizer.load(tiny_base)


def test_too_long_rows_are_listed_and_not_truncated(
    tokenizer: ChatTokenizer, toy_rows: Rows
) -> None:
    rows = toy_rows(30)
    for row in rows[3:]:
        row["messages"][1]["content"] *= 20

    with pytest.raises(ChildFailure) as refused:
        encode_rows(rows, tokenizer, split="valid", max_tokens=100)

    assert refused.value.code == "ROWS_TOO_LONG"
    assert refused.value.message == (
        "27 rows of valid have more than 100 tokens: "
        "4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23 and 7 more"
    )
    assert "max_tokens_per_row" in refused.value.remedy


def test_an_invalid_row_is_named(tokenizer: ChatTokenizer, toy_rows: Rows) -> None:
    rows = toy_rows(3)
    rows[1]["messages"].pop()

    with pytest.raises(ChildFailure, match="train row 2: an example is a prompt followed by"):
        encode_rows(rows, tokenizer, split="train", max_tokens=100)


def test_a_non_finite_loss_fails_the_run_before_the_update(
    tmp_path: Path, tiny_base: Path, tokenizer: ChatTokenizer, toy_rows: Rows
) -> None:
    examples = encode_rows(toy_rows(6), tokenizer, split="train", max_tokens=512)
    choices = decide("lora", {"epochs": 1, "batch_size": 3, "gradient_accumulation_steps": 1})
    model = TrainedModel.load(tiny_base, choices, "mv-base")
    broken = next(iter(model.trainable.values()))
    with torch.no_grad():
        broken[0, 0] = float("nan")
    before = {name: weight.detach().clone() for name, weight in model.trainable.items()}
    with (tmp_path / "reports").open("wb") as reports:
        port = ChildPort({}, tmp_path, reports.fileno())
        loop = TrainingLoop(model, examples, plan_training(6, choices), choices, port)

        with pytest.raises(ChildFailure) as refused:
            loop.run()

    rows = [row + 1 for row in plan_training(6, choices).rows_of(0)]
    assert refused.value.code == "DIVERGED"
    assert f"in step 1 (rows {', '.join(map(str, rows))} of the train split)" in (
        refused.value.message
    )
    assert "learning rate" in refused.value.remedy
    for name, weight in model.trainable.items():
        assert torch.equal(weight.detach().nan_to_num(), before[name].nan_to_num())


def test_a_model_without_layers_to_adapt_is_refused() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(4, 4))

    with pytest.raises(ChildFailure, match="no linear layers besides routers and output head"):
        add_lora(model, decide("lora", {}), "mv-base")
