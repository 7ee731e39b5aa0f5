"""Prefixes and prompts learn before every row, and nothing of the model changes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_jobs.child import ChildFailure
from modelmill_testkit.models import make_tiny_deepseek
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import AnswerObjective, answer_loss
from modelmill_trainer.training.packs import TrainingExample, pack
from modelmill_trainer.training.rows import encode_rows
from modelmill_trainer.training.token_tree import TokenTree
from peft import PeftModel
from torch import Tensor
from trainer_support.runs import QUICK, base_weights, gradients_of, run
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.heavy

METHODS = ("prefix", "prompt")
VIRTUAL = 6


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)


@pytest.fixture
def examples(tiny_base: Path, toy_rows: Any) -> list[TrainingExample]:
    tokenizer = ChatTokenizer.load(tiny_base)
    return encode_rows(toy_rows(16), tokenizer, split="train", max_tokens=512)


def load(base: Path, method: str, **changes: Any) -> TrainedModel:
    choices = decide(method, {"virtual_tokens": VIRTUAL, **changes})
    model = TrainedModel.load(base, choices, "mv-base")
    model.train(False)
    return model


def row_logits(model: TrainedModel, ids: tuple[int, ...]) -> Tensor:
    tree = TokenTree()
    nodes = tree.add(ids)
    with torch.no_grad():
        return model.logits(tree, nodes)


@pytest.mark.parametrize("method", METHODS)
def test_a_new_soft_prompt_acts_like_the_tokens_it_is_initialised_from(
    tiny_base: Path, examples: list[TrainingExample], method: str
) -> None:
    model = load(tiny_base, method)
    ids = examples[0].ids
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    drawn = torch.Generator().manual_seed(1)
    words = torch.randint(0, base.config.vocab_size, (1, VIRTUAL), generator=drawn)

    expected = base(input_ids=torch.cat([words, torch.tensor([ids])], dim=1)).logits[0, VIRTUAL:]

    torch.testing.assert_close(row_logits(model, ids), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_peft_loads_a_soft_prompt_and_computes_the_same_logits(
    tmp_path: Path, tiny_base: Path, examples: list[TrainingExample], method: str
) -> None:
    model = load(tiny_base, method)
    with torch.no_grad():
        [weight] = model.trainable.values()
        weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)) * 0.3)
    model.save(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(base, tmp_path)

    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor([examples[0].ids])).logits[0]

    ours = row_logits(model, examples[0].ids)
    torch.testing.assert_close(ours, expected[-len(ours) :], rtol=1e-4, atol=1e-4)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert written["peft_type"] == {"prefix": "PREFIX_TUNING", "prompt": "PROMPT_TUNING"}[method]
    assert written["base_model_name_or_path"] == "mv-base"


@pytest.mark.parametrize("method", METHODS)
def test_every_row_of_a_tree_attends_to_the_soft_prompt(
    tiny_base: Path, examples: list[TrainingExample], method: str
) -> None:
    model = load(tiny_base, method)
    [together] = pack(examples[:6], max_nodes=10_000)
    loss, gradients = gradients_of(model, AnswerObjective(), examples[:6])

    tokens = sum(example.answer_tokens for example in examples[:6])
    with torch.no_grad():
        alone = sum(float(answer_loss(model, pack([example])[0])) for example in examples[:6])
        assert float(answer_loss(model, together)) == pytest.approx(alone, rel=1e-5)
    assert loss == pytest.approx(alone / tokens, rel=1e-5)
    [gradient] = gradients.values()
    assert (gradient.view(VIRTUAL, -1).norm(dim=1) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_the_soft_prompt_and_no_bit_of_the_base(
    tiny_base: Path, examples: list[TrainingExample], method: str
) -> None:
    quick = QUICK | {"learning_rate": 0.1}
    choices = decide(method, quick | {"virtual_tokens": VIRTUAL, "epochs": 15})
    model = TrainedModel.load(tiny_base, choices, "mv-base")
    tree_inputs = base_weights(model)
    with model.as_base():
        said = row_logits(model, examples[0].ids)

    loop = run(model, examples, choices)

    assert loop.progress.first_loss is not None
    assert loop.progress.last_loss is not None
    assert loop.progress.last_loss < 0.7 * loop.progress.first_loss
    after = base_weights(model)
    assert tree_inputs.keys() == after.keys()
    assert all(torch.equal(tree_inputs[name], after[name]) for name in tree_inputs)
    assert sum(map(torch.Tensor.numel, tree_inputs.values())) > 50_000
    with model.as_base():
        assert torch.equal(row_logits(model, examples[0].ids), said)
    assert not torch.equal(row_logits(model, examples[0].ids), said)


def test_keys_and_values_of_different_width_allow_prompt_but_not_prefix_tuning(
    tmp_path: Path, examples: list[TrainingExample]
) -> None:
    base = make_tiny_deepseek(tmp_path)

    with pytest.raises(ChildFailure) as refused:
        load(base, "prefix")
    assert refused.value.code == "NO_PREFIX"
    assert "method prompt" in refused.value.remedy
    assert row_logits(load(base, "prompt"), examples[0].ids).isfinite().all()
