"""The computations that make training quick give what the plain ones give."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_evaluation.choices import (
    ChoiceQuestion,
    answer_in_batches,
    answer_questions,
    choice_questions,
)
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training.final_eval import TreeScorer
from modelmill_trainer.training.lora_linear import fuse
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import answer_loss, mean_loss
from modelmill_trainer.training.packs import Pack, TrainingExample, pack
from modelmill_trainer.training.rows import encode_rows
from modelmill_trainer.training.token_tree import TokenTree
from peft import LoraConfig, get_peft_model
from torch import Tensor
from trainer_support.trained_adapters import load
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32, where a difference is a mistake and not a rounding."""
    torch.set_num_threads(1)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)


@pytest.fixture
def tokenizer(tiny_base: Path) -> ChatTokenizer:
    return ChatTokenizer.load(tiny_base)


@pytest.fixture
def examples(tokenizer: ChatTokenizer, toy_rows: Rows) -> list[TrainingExample]:
    return encode_rows(toy_rows(8), tokenizer, split="train", max_tokens=512)


def plain_loss(model: TrainedModel, example: TrainingExample) -> Tensor:
    """The loss of one row alone, by transformers' own causal mask and attention."""
    whole = model._model
    whole.set_attn_implementation("sdpa")
    logits = whole(input_ids=torch.tensor([example.ids])).logits[0].float()
    whole.set_attn_implementation("token_tree")
    learned = [place for first, last in example.spans for place in range(first, last)]
    targets = torch.tensor([example.ids[place] for place in learned])
    before = [place - 1 for place in learned]
    return torch.nn.functional.cross_entropy(logits[before], targets, reduction="sum")


def gradients(model: TrainedModel, loss: Tensor) -> dict[str, Tensor]:
    for weight in model.trainable.values():
        weight.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: weight.grad for name, weight in model.trainable.items()}  # type: ignore[misc]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_tree_gives_the_loss_and_gradient_of_separate_rows(
    tiny_base: Path, examples: list[TrainingExample], method: str
) -> None:
    model = load(tiny_base, decide(method, {}))
    [together] = pack(examples, max_nodes=10_000)
    assert len(together.tree) < 0.65 * sum(len(example.ids) for example in examples)

    loss = answer_loss(model, together)
    packed = gradients(model, loss)
    alone = sum(plain_loss(model, example) for example in examples)

    assert isinstance(alone, Tensor)
    torch.testing.assert_close(loss, alone)
    for name, gradient in gradients(model, alone).items():
        off = float((packed[name] - gradient).norm() / gradient.norm())
        assert off < 1e-5, name


def test_trainable_weights_are_float32_with_bfloat16_autocast(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path, examples: list[TrainingExample]
) -> None:
    choices, [rows] = decide("full", {}), pack(examples, max_nodes=10_000)
    exact = load(tiny_base, choices)
    expected = gradients(exact, answer_loss(exact, rows))
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.bfloat16)

    model = load(tiny_base, choices)
    found = gradients(model, answer_loss(model, rows))
    scores = model.logits(rows.tree, rows.predicting)

    assert model.compute_format == "bfloat16"
    assert torch.equal(scores, scores.bfloat16().float())
    for name, gradient in expected.items():
        assert found[name].dtype == torch.float32
        assert float((found[name] - gradient).norm() / gradient.norm()) < 0.05, name


def test_rows_in_several_packs_have_the_loss_of_one(
    tiny_base: Path, examples: list[TrainingExample]
) -> None:
    model = load(tiny_base)
    packs = pack(examples, max_nodes=60)

    assert 1 < len(packs) < len(examples)
    assert sum(len(one.targets) for one in packs) == sum(e.answer_tokens for e in examples)
    parts = sum(float(answer_loss(model, one).detach()) for one in packs)
    whole = float(answer_loss(model, pack(examples, max_nodes=10_000)[0]).detach())
    assert parts == pytest.approx(whole, rel=1e-5)


def test_only_answer_tokens_have_loss(examples: list[TrainingExample]) -> None:
    example = examples[0]

    [one] = pack([example])

    assert one.targets == list(example.ids[example.answer_start :])
    assert [one.tree.ids[node] for node in one.predicting] == list(
        example.ids[example.answer_start - 1 : -1]
    )


def test_a_token_outside_the_answer_is_never_a_target(
    tiny_base: Path, examples: list[TrainingExample]
) -> None:
    """What follows the answer's last prompt token as input does not exist for the loss."""
    model = load(tiny_base)
    example = examples[0]
    whole, other = Pack(), Pack()
    whole.add(example)
    other.add(example)
    # A prompt that goes on elsewhere hangs beside the row and must not be seen by it.
    other.tree.add([*example.ids[: example.answer_start - 1], 7, 8, 9])

    before = gradients(model, answer_loss(model, whole))
    after = gradients(model, answer_loss(model, other))

    for name, gradient in before.items():
        torch.testing.assert_close(after[name], gradient, msg=name)


def test_a_long_tree_computes_the_same_by_the_fused_kernel(
    tiny_base: Path, examples: list[TrainingExample], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny_base)
    [together] = pack(examples, max_nodes=10_000)
    small = answer_loss(model, together).detach()

    monkeypatch.setattr("modelmill_trainer.training.attention.SMALL_NODES", 0)

    torch.testing.assert_close(answer_loss(model, together).detach(), small)


def test_the_lora_function_computes_pefts_results(tiny_base: Path) -> None:
    def adapted() -> Any:
        torch.manual_seed(1)
        base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
        config = LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "down_proj"])
        model = get_peft_model(base, config)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(len(name)))
        return model

    plain, joined = adapted(), adapted()
    fuse(joined)
    ids = torch.tensor([[5, 6, 7, 8]])
    expected, computed = plain(input_ids=ids).logits, joined(input_ids=ids).logits

    torch.testing.assert_close(computed, expected)
    expected.square().sum().backward()
    computed.square().sum().backward()
    others = dict(plain.named_parameters())
    checked = 0
    for name, weight in joined.named_parameters():
        if weight.requires_grad:
            torch.testing.assert_close(weight.grad, others[name].grad, rtol=1e-3, atol=1e-3)
            checked += 1
    assert checked == 8


def test_with_its_adapter_disabled_a_model_equals_its_base_bit_for_bit(
    tiny_base: Path, examples: list[TrainingExample]
) -> None:
    model = load(tiny_base)
    [together] = pack(examples)
    untouched = TrainedModel.load_frozen(tiny_base)

    with torch.no_grad(), model.as_base():
        off = model.logits(together.tree, together.predicting)
    on = model.logits(together.tree, together.predicting)

    assert torch.equal(off, untouched.logits(together.tree, together.predicting))
    assert not torch.equal(off, on)


def naive_scorer(model: TrainedModel) -> Callable[..., list[float]]:
    """One pass over prompt and choice for each choice."""

    def score(prompt: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
        rows = [
            TrainingExample.answered((*prompt, *choice), len(prompt)) for choice in continuations
        ]
        with torch.no_grad():
            return [-float(plain_loss(model, row)) for row in rows]

    return score


def test_tree_scores_equal_scores_of_separate_choices(
    tiny_base: Path, tokenizer: ChatTokenizer, toy_rows: Rows
) -> None:
    model = load(tiny_base)
    # Choices that begin alike, and one that is the beginning of another.
    choices = ("animal", "animals", "ant", "plant", "food")
    questions = choice_questions(toy_rows(6), choices, tokenizer)
    naive = naive_scorer(model)

    in_tree = TreeScorer(model)(questions)

    for question, scores in zip(questions, in_tree, strict=True):
        assert scores == pytest.approx(naive(question.prompt_ids, question.choices), rel=1e-4)
    assert answer_in_batches(
        questions, TreeScorer(model), lambda *_: None, batch_size=4
    ) == answer_questions(questions, naive, lambda *_: None)


def test_questions_beyond_one_tree_are_scored_in_several_passes(
    tiny_base: Path, tokenizer: ChatTokenizer, toy_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny_base)
    questions = choice_questions(toy_rows(5), ("animal", "plant", "food"), tokenizer)
    at_once = TreeScorer(model)(questions)

    monkeypatch.setattr("modelmill_trainer.training.final_eval.FULL_NODES", 60)

    for scores, expected in zip(TreeScorer(model)(questions), at_once, strict=True):
        assert scores == pytest.approx(expected, rel=1e-4)


def test_a_node_attends_to_its_own_row_only() -> None:
    tree = TokenTree()
    first = tree.add([1, 2, 3])
    second = tree.add([1, 2, 4])

    visible = tree.visible_N_N()

    assert (first, second) == ([0, 1, 2], [0, 1, 3])
    assert tree.positions == [0, 1, 2, 2]
    assert visible.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]


def test_the_mean_loss_of_a_split_weighs_every_answer_token_alike(
    tiny_base: Path, examples: list[TrainingExample]
) -> None:
    model = load(tiny_base)
    with torch.no_grad():
        summed = sum(float(plain_loss(model, example)) for example in examples)

    tokens = sum(example.answer_tokens for example in examples)
    assert mean_loss(model, examples) == pytest.approx(summed / tokens, rel=1e-4)


def test_questions_have_the_prompt_tokens_of_training(
    tokenizer: ChatTokenizer, toy_rows: Rows, examples: list[TrainingExample]
) -> None:
    [question, *_] = choice_questions(toy_rows(8), ("animal", "plant", "food"), tokenizer)

    assert isinstance(question, ChoiceQuestion)
    assert (*question.prompt_ids, *question.choices[question.answer]) == examples[0].ids
