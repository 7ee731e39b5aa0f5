"""Rows whose token ids are in the dataset are trained on as they are, in the order it gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_jobs.child import ChildFailure
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training import run_setup
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import answer_loss
from modelmill_trainer.training.packs import TrainingExample, pack
from modelmill_trainer.training.rows import encode_rows
from modelmill_trainer.training.token_rows import TokenExamples
from trainer_support.first_step import Beginner

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Any]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_base: Path) -> Beginner:
    return Beginner(monkeypatch, tmp_path, tiny_base)


@pytest.fixture
def splits(toy_rows: Rows) -> dict[str, list[dict[str, Any]]]:
    return {"train": toy_rows(9), "valid": toy_rows(2, first=9), "test": []}


def test_token_files_are_used_without_encoding(
    begin: Any,
    splits: dict[str, Any],
    write_splits: Write,
    write_tokens: Write,
    tmp_path: Path,
    tiny_base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = write_splits(tmp_path / "rows", splits)
    write_tokens(dataset, tiny_base, splits)
    tokenizer = ChatTokenizer.load(tiny_base)
    expected = encode_rows(splits["train"], tokenizer, split="train", max_tokens=512)
    monkeypatch.setattr(run_setup, "encode_rows", None)

    seen = begin(dataset)

    assert isinstance(seen.examples, TokenExamples)
    assert list(seen.examples) == expected
    assert seen.examples[2:4] == expected[2:4]
    assert seen.examples.longest == max(len(example.ids) for example in expected)
    assert seen.plan.order == ()


def test_token_files_of_another_tokenizer_are_ignored(
    begin: Any,
    splits: dict[str, Any],
    write_splits: Write,
    write_tokens: Write,
    tmp_path: Path,
    tiny_base: Path,
) -> None:
    dataset = write_splits(tmp_path / "rows", splits)
    write_tokens(dataset, tiny_base, splits, tokenizer="sha256:another")

    seen = begin(dataset)

    tokenizer = ChatTokenizer.load(tiny_base)
    assert seen.examples == encode_rows(splits["train"], tokenizer, split="train", max_tokens=512)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("with_tokens", [True, False])
def test_the_datasets_order_is_that_of_the_first_epoch(
    begin: Any,
    splits: dict[str, Any],
    write_splits: Write,
    write_tokens: Write,
    write_order: Write,
    tmp_path: Path,
    tiny_base: Path,
    repeats: bool,
    with_tokens: bool,
) -> None:
    order = [8, 1, 7, 2, 6, 3, 5, 4, 0]
    dataset = write_splits(tmp_path / "rows", splits)
    if with_tokens:
        write_tokens(dataset, tiny_base, splits)
    write_order(dataset, order, repeats=repeats)

    plan = begin(dataset, batch_size=3, gradient_accumulation_steps=1, epochs=2).plan

    visits = [row for step in range(plan.steps) for row in plan.rows_of(step)]
    assert visits[:9] == order
    assert (visits[9:] == order) == repeats
    assert sorted(visits[9:]) == sorted(order)


def test_rows_that_are_too_long_for_this_run_are_named(
    begin: Any,
    splits: dict[str, Any],
    write_splits: Write,
    write_tokens: Write,
    tmp_path: Path,
    tiny_base: Path,
) -> None:
    splits["train"][4]["messages"][1]["content"] *= 9
    dataset = write_splits(tmp_path / "rows", splits)
    write_tokens(dataset, tiny_base, splits)

    with pytest.raises(ChildFailure) as refused:
        begin(dataset, max_tokens_per_row=100)

    assert refused.value.code == "ROWS_TOO_LONG"
    assert refused.value.message == "1 rows of train have more than 100 tokens: 5"


def broken_plan(dataset: Path) -> None:
    (dataset / "tokens" / "plan.json").write_text("{")


def broken_rows(dataset: Path) -> None:
    (dataset / "tokens" / "train.arrow").write_bytes(b"no Arrow")


def missing_rows(dataset: Path) -> None:
    (dataset / "tokens" / "train.arrow").unlink()


@pytest.mark.parametrize("harm", [broken_plan, broken_rows, missing_rows, None])
def test_inconsistent_token_files_are_refused(
    begin: Any,
    splits: dict[str, Any],
    write_splits: Write,
    write_tokens: Write,
    write_order: Write,
    tmp_path: Path,
    tiny_base: Path,
    harm: Callable[[Path], None] | None,
) -> None:
    dataset = write_splits(tmp_path / "rows", splits)
    write_tokens(dataset, tiny_base, splits)
    if harm is None:
        write_order(dataset, [0, 2, 1], repeats=True)
    else:
        harm(dataset)

    with pytest.raises(ChildFailure) as refused:
        begin(dataset)

    assert refused.value.code == "DATASET_INCONSISTENT"


def several_spans() -> list[TrainingExample]:
    """Conversations of which one is the beginning of another, and one ends unlearned."""
    ids = tuple(range(20, 40))
    return [
        TrainingExample(ids, ((3, 6), (9, 12), (15, 20))),
        TrainingExample(ids[:12], ((3, 6), (9, 12))),
        TrainingExample((*ids[:8], 50, 51, 52, 53), ((3, 6), (9, 11))),
        TrainingExample(ids[:7], ((1, 7),)),
    ]


def test_rows_with_several_answers_have_the_loss_of_separate_rows(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)
    model = TrainedModel.load(tiny_base, decide("full", {}), "mv-base")
    examples = several_spans()
    [together] = pack(examples)
    assert len(together.tree) < sum(len(example.computed) for example in examples) / 2

    alone = torch.zeros(())
    for example in examples:
        whole = model._model
        whole.set_attn_implementation("sdpa")
        logits = whole(input_ids=torch.tensor([example.ids])).logits[0].float()
        whole.set_attn_implementation("token_tree")
        likelihoods = torch.log_softmax(logits, dim=-1)
        for first, last in example.spans:
            for place in range(first, last):
                alone = alone - likelihoods[place - 1, example.ids[place]]

    torch.testing.assert_close(answer_loss(model, together), alone)
    assert len(together.targets) == sum(example.answer_tokens for example in examples)


def test_tokens_after_the_last_answer_are_not_computed() -> None:
    [one] = pack([TrainingExample((1, 2, 3, 4, 5, 6), ((1, 2), (3, 4)))])

    assert one.tree.ids == [1, 2, 3]
    assert [one.tree.ids[node] for node in one.predicting] == [1, 3]
    assert one.targets == [2, 4]
