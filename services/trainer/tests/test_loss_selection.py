"""What of a row an objective learns, whoever encoded it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.child import ChildFailure
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.token_rows import TokenExamples
from trainer_support.first_step import Beginner
from trainer_support.runs import pair_rows

pytestmark = pytest.mark.heavy

Write = Callable[..., Any]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_base: Path) -> Beginner:
    return Beginner(monkeypatch, tmp_path, tiny_base)


@pytest.mark.parametrize("objective", ["answers", "text", "dpo", "kto"])
def test_token_files_give_the_same_examples_as_encoding_here(
    begin: Beginner,
    tmp_path: Path,
    tiny_base: Path,
    write_splits: Write,
    write_tokens: Write,
    objective: str,
) -> None:
    splits = {"train": pair_rows(5), "valid": [], "test": []}
    plain = write_splits(tmp_path / "plain", splits)
    encoded = write_splits(tmp_path / "encoded", splits)
    write_tokens(encoded, tiny_base, splits)

    here = list(begin(plain, objective).examples)
    before = begin(encoded, objective).examples

    assert isinstance(before, TokenExamples)
    assert list(before) == here
    assert before.longest == max(example.longest for example in here)
    first = here[0]
    assert (first.rejected is not None) == (objective in ("dpo", "kto"))
    assert (first.spans == ((1, len(first.ids)),)) == (objective == "text")


def test_the_loss_covers_all_answers_or_only_the_last(
    begin: Beginner, tmp_path: Path, write_splits: Write
) -> None:
    said = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    row = {"messages": [{"role": role, "content": text} for role, text in said], "row": 1}
    dataset = write_splits(tmp_path / "rows", {"train": [row]})

    [whole] = begin(dataset).examples
    [last] = begin(dataset, last_turn_only=True).examples

    assert len(whole.spans) == 2
    assert last.spans == whole.spans[-1:]
    assert last.ids == whole.ids


def test_a_document_has_loss_on_every_token(
    begin: Beginner, tmp_path: Path, tiny_base: Path, write_splits: Write
) -> None:
    row = {"messages": [{"role": "assistant", "content": "once upon a time"}], "row": 1}
    dataset = write_splits(tmp_path / "rows", {"train": [row]})

    [document] = begin(dataset, "text").examples

    ids = ChatTokenizer.load(tiny_base).encode("once upon a time")
    assert document == TrainingExample(tuple(ids), ((1, len(ids)),))


@pytest.mark.parametrize("encoded", [True, False])
def test_pairs_without_a_rejected_answer_or_too_long_are_named(
    begin: Beginner,
    tmp_path: Path,
    tiny_base: Path,
    write_splits: Write,
    write_tokens: Write,
    encoded: bool,
) -> None:
    rows = pair_rows(4)
    del rows[1]["rejected"]
    rows[2]["rejected"] *= 12
    splits = {"train": rows, "valid": [], "test": []}
    dataset = write_splits(tmp_path / "rows", splits)
    if encoded:
        write_tokens(dataset, tiny_base, splits)

    with pytest.raises(ChildFailure) as refused:
        begin(dataset, "dpo", max_tokens_per_row=100)
    assert refused.value.code == "NOT_PREFERENCES"
    assert refused.value.message == "1 rows of train have no rejected answer: 2"
    with pytest.raises(ChildFailure) as refused:
        begin(dataset, "kto", max_tokens_per_row=100)
    assert refused.value.message == "1 rows of train have more than 100 tokens: 3"
    assert len(begin(dataset, max_tokens_per_row=100).examples) == 4
