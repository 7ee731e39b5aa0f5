"""Each family trains by adapters and in full, and is then what it was taught, elsewhere too."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_jobs.child import ChildFailure
from modelmill_testkit.models import make_tiny_deepseek, make_tiny_llama, make_tiny_qwen
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import HyperParameters, decide
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training.architecture import FULL as FULL_ATTENTION
from modelmill_trainer.training.architecture import SLIDING
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import answer_loss
from modelmill_trainer.training.packs import TrainingExample, pack
from modelmill_trainer.training.rows import encode_rows
from peft import PeftModel
from torch import Tensor
from trainer_support.runs import QUICK, run
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    MistralConfig,
)

pytestmark = pytest.mark.heavy

WINDOW = 8
"""Tokens that layers with a window look back; rows are longer."""


def make_tiny(folder: Path, *, of: Any, **choices: Any) -> Path:
    """A model of random weights that transformers makes itself, with the tiny tokenizer."""
    make_tiny_llama(folder)
    like = AutoConfig.from_pretrained(folder)
    same = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    more = ("num_attention_heads", "num_key_value_heads", "max_position_embeddings")
    tokens = ("bos_token_id", "eos_token_id", "pad_token_id")
    known = {name: getattr(like, name) for name in (*same, *more, *tokens)}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(of(**known | choices))
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llama": make_tiny_llama,
    "qwen2": partial(make_tiny_qwen, version=2),
    "qwen2-untied": partial(make_tiny_qwen, version=2, tied=False),
    "qwen3": partial(make_tiny_qwen, version=3),
    "qwen3-untied": partial(make_tiny_qwen, version=3, tied=False),
    "deepseek2": partial(make_tiny_deepseek, version=2),
    "deepseek3": make_tiny_deepseek,
    # They bound, multiply or divide their logits.
    "gemma2": partial(
        make_tiny, of=Gemma2Config, head_dim=16, final_logit_softcapping=0.5, sliding_window=WINDOW
    ),
    "cohere": partial(make_tiny, of=CohereConfig, logit_scale=3.0),
    "granite": partial(make_tiny, of=GraniteConfig, logits_scaling=0.3),
    # All layers, or some, look back only so far.
    "mistral": partial(make_tiny, of=MistralConfig, sliding_window=WINDOW),
    "gemma3": partial(
        make_tiny,
        of=Gemma3TextConfig,
        head_dim=16,
        sliding_window=WINDOW,
        layer_types=[SLIDING, FULL_ATTENTION],
    ),
    # Its heads attend to sinks.
    "gpt-oss": partial(
        make_tiny,
        of=GptOssConfig,
        head_dim=16,
        num_local_experts=4,
        sliding_window=WINDOW,
        layer_types=[SLIDING, FULL_ATTENTION],
    ),
    # Its layers have other names, and its output head too.
    "gpt-neox": partial(make_tiny, of=GPTNeoXConfig),
}
EXPERTS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
LATENT = {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"}


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: make(root / name) for name, make in FAMILIES.items()}


@pytest.fixture
def examples(tiny_base: Path, toy_rows: Any) -> list[TrainingExample]:
    tokenizer = ChatTokenizer.load(tiny_base)
    return encode_rows(toy_rows(8), tokenizer, split="train", max_tokens=512)


def lora(**changes: Any) -> HyperParameters:
    return decide("lora", QUICK | {"lora_rank": 4, "max_steps": 4, "epochs": 4, **changes})


def loss_of(model: TrainedModel, rows: Sequence[TrainingExample]) -> float:
    model.train(False)
    with torch.no_grad():
        return sum(float(answer_loss(model, part)) for part in pack(rows))


def decoded(model: Any, ids: Sequence[int]) -> Tensor:
    """(N, V) logits of a row that is read up to its middle and then token by token, as served."""
    read = model(input_ids=torch.tensor([ids[: len(ids) // 2]]), use_cache=True)
    logits, cache = [read.logits[0]], read.past_key_values
    for token in ids[len(ids) // 2 :]:
        step = model(input_ids=torch.tensor([[token]]), past_key_values=cache, use_cache=True)
        logits.append(step.logits[0])
    return torch.cat(logits)


def reloaded(base: Path, saved: Path, method: str) -> Any:
    """What a reader with nothing of ours makes of it."""
    source = saved if method == "full" else base
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    return model.eval() if method == "full" else PeftModel.from_pretrained(model, saved).eval()


def check_elsewhere(theirs: Any, model: TrainedModel, rows: Sequence[TrainingExample]) -> None:
    """Logits of rows, read at once and decoded step by step, are those of the trained model."""
    for row in rows[:2]:
        [part] = pack([TrainingExample(row.ids, ((1, len(row.ids)),))], max_nodes=10_000)
        with torch.no_grad():
            ours = model.logits(part.tree, part.predicting)
            whole = theirs(input_ids=torch.tensor([row.ids])).logits[0, :-1]
            served = decoded(theirs, row.ids)[:-1]
        torch.testing.assert_close(whole, ours, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(served, ours, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_reloads_and_decodes_each_trained_family(
    tmp_path: Path,
    bases: dict[str, Path],
    examples: list[TrainingExample],
    family: str,
    method: str,
) -> None:
    base = bases[family]
    quick = QUICK | {"max_steps": 4, "epochs": 4}
    choices = lora() if method == "lora" else decide("full", quick | {"learning_rate": 0.003})
    model = TrainedModel.load(base, choices, "mv-base")
    before = loss_of(model, examples)

    run(model, examples, choices)

    model.round_to_stored()
    assert loss_of(model, examples) < 0.97 * before
    model.save(tmp_path)
    # Saving a full model rounds it; what is compared are the weights as they are on disk.
    trained = model if method == "lora" else TrainedModel.load_frozen(tmp_path)
    trained.train(False)
    check_elsewhere(reloaded(base, tmp_path, method), trained, examples)


def test_a_large_deepseek_v2_chooses_experts_by_groups(
    tmp_path: Path, examples: list[TrainingExample]
) -> None:
    base = make_tiny_deepseek(tmp_path, version=2)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"topk_method": "group_limited_greedy"}))
    model = TrainedModel.load(base, lora(), "mv-base")
    before = loss_of(model, examples)

    run(model, examples, lora())

    assert loss_of(model, examples) < before


def adapted_names(model: TrainedModel) -> set[str]:
    return {name.partition(".lora_")[0].rpartition(".")[2] for name in model.trainable}


def test_adapters_of_latent_attention_leave_router_and_experts_alone(
    bases: dict[str, Path],
) -> None:
    third = TrainedModel.load(bases["deepseek3"], lora(), "mv-base")
    second = TrainedModel.load(bases["deepseek2"], lora(), "mv-base")

    assert adapted_names(third) == LATENT
    assert adapted_names(second) == LATENT - {"q_a_proj", "q_b_proj"} | {"q_proj"}


@pytest.mark.parametrize("family", ["deepseek2", "deepseek3"])
def test_experts_are_trained_on_request_and_routers_never(
    tmp_path: Path, bases: dict[str, Path], examples: list[TrainingExample], family: str
) -> None:
    choices = lora(target_parameters=EXPERTS)
    model = TrainedModel.load(bases[family], choices, "mv-base")
    assert any("mlp.experts" in name for name in model.trainable)
    with torch.no_grad(), model.as_base():
        base_loss = loss_of(model, examples)
    untouched = TrainedModel.load_frozen(bases[family])
    # With the adapters off the model is its base, experts too.
    assert base_loss == loss_of(untouched, examples)
    routers = {n: w.clone() for n, w in model._model.named_parameters() if ".gate." in n}

    run(model, examples, choices)

    changed = [
        name for name, weight in model.trainable.items() if "lora_B" in name and weight.any()
    ]
    assert any("mlp.experts" in name for name in changed)
    now = dict(model._model.named_parameters())
    assert routers
    assert all(torch.equal(weight, now[name]) for name, weight in routers.items())
    model.train(False)
    model.save(tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert set(written["target_parameters"]) == set(EXPERTS)
    check_elsewhere(reloaded(bases[family], tmp_path, "lora"), model, examples)


@pytest.mark.parametrize(
    ("family", "changes", "code", "said"),
    [
        ("deepseek2", {"target_modules": ("gate",)}, "UNKNOWN_MODULES", "kv_a_proj_with_mqa"),
        ("deepseek3", {"target_modules": ("gate_proj",)}, "UNKNOWN_MODULES", "target_parameters"),
        (
            "llama",
            {"target_modules": ("q_proj", "wq")},
            "UNKNOWN_MODULES",
            "'wq' cannot be adapted",
        ),
        ("llama", {"target_modules": ("lm_head",)}, "UNKNOWN_MODULES", "down_proj, gate_proj"),
        ("llama", {"target_parameters": EXPERTS}, "UNKNOWN_PARAMETERS", "This model has: none"),
        (
            *("deepseek3", {"target_parameters": ("mlp.gate.weight",)}),
            *("UNKNOWN_PARAMETERS", "mlp.experts.down_proj, mlp.experts.gate_up_proj"),
        ),
        ("llama", {"lora_rank": 33}, "RANK_TOO_LARGE", "k_proj, which is 64 to 32"),
        ("deepseek3", {"lora_rank": 25}, "RANK_TOO_LARGE", "at most 24"),
    ],
)
def test_unsupported_target_layers_are_named_with_the_supported_ones(
    bases: dict[str, Path], family: str, changes: dict[str, Any], code: str, said: str
) -> None:
    with pytest.raises(ChildFailure) as refused:
        TrainedModel.load(bases[family], lora(**changes), "mv-base")

    assert refused.value.code == code
    assert said in f"{refused.value.message} {refused.value.remedy}"


def test_only_named_layers_are_adapted(bases: dict[str, Path]) -> None:
    model = TrainedModel.load(bases["llama"], lora(target_modules=("v_proj",)), "mv-base")

    assert adapted_names(model) == {"v_proj"}


def test_lora_of_a_model_with_other_names_adapts_all_layers_but_the_head(
    bases: dict[str, Path],
) -> None:
    model = TrainedModel.load(bases["gpt-neox"], lora(), "mv-base")
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name in model.trainable}
    assert adapted == {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}


def test_a_model_with_attention_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    base = make_tiny(tmp_path / "falcon", of=FalconConfig, num_key_value_heads=4)
    with pytest.raises(ChildFailure, match="cannot run a model of type falcon"):
        TrainedModel.load(base, lora(), "mv-base")
