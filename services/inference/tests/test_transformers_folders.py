"""Which models and adapters the reference engine takes, and which it refuses."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_inference.children.transformers_model import open_model
from modelmill_inference.domain.adapter_fit import adapter_problems
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
)
from safetensors.torch import load_file

from .reference_bench import answers, generated, in_transformers, one_thread, opened

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _truncated(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def _rubbish(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)


def _with_a_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def _with_code(folder: Path) -> None:
    (folder / "modeling_ours.py").write_text("raise SystemExit")


def _adapter_of_another(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}')


def _too_large(folder: Path) -> None:
    entry = {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 1 << 42]}
    encoded = json.dumps({"model.embed_tokens.weight": entry}).encode()
    with (folder / "model.safetensors").open("wb") as content:
        content.write(len(encoded).to_bytes(8, "little") + encoded)
        content.truncate(8 + len(encoded) + (1 << 42))  # takes no room on the disk


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_without_weights, "no safetensors file"),
        (_truncated, "bytes long"),
        (_rubbish, "no safetensors file"),
        (_with_a_pickle, "only safetensors and JSON"),
        (_with_code, "only safetensors and JSON"),
        (_adapter_of_another, "an adapter's"),
        (_too_large, "MiB are free"),
        (_config(auto_map={"AutoModelForCausalLM": "ours.Model"}), "run code"),
        (_config(attn_implementation="somebody/kernels"), "run code"),
        (_config(model_type="perceptron"), "perceptron"),
        (_config(vocab_size=999), "do not fit|mismatch"),
        (_config(num_hidden_layers=3), "do not fit config.json: missing_keys"),
        (_config(rms_norm_eps=float("nan")), "not numbers"),
    ],
)
def test_what_is_no_model_of_safetensors_is_refused_with_the_reason(
    llama_folder: Path, tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    spoil(folder)

    with pytest.raises(Exception, match=why):
        opened(folder)


EVERYWHERE = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LATENT = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]


def adapter_upon(folder: Path, config: PeftConfig, target: Path) -> Path:
    """A random adapter, large enough to change what is said."""
    torch.manual_seed(3)
    model = get_peft_model(in_transformers(folder), config)
    for name, values in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(values, std=0.3)
    model.save_pretrained(target)
    return target


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("llama_folder", LoraConfig(r=4, lora_alpha=8, target_modules=EVERYWHERE)),
        ("llama_folder", LoraConfig(r=8, use_rslora=True, target_modules=["q_proj", "v_proj"])),
        ("deepseek_folder", LoraConfig(r=4, lora_alpha=8, target_modules=LATENT)),
    ],
)
def test_with_an_adapter_it_says_what_peft_says(
    model: str, config: LoraConfig, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(model)
    adapter = adapter_upon(folder, config, tmp_path / "adapter")
    reference = PeftModel.from_pretrained(in_transformers(folder), adapter).eval()

    said = answers(opened(folder, adapter), {})[1]

    assert said == generated(reference, do_sample=False)
    assert said != answers(opened(folder), {})[1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"r": 5}, "size mismatch"),
        ({"target_modules": ["q_proj", "o_proj"]}, "does not fit"),
        ({"target_modules": ["nothing_proj"]}, "nothing_proj"),
    ],
)
def test_an_adapter_that_does_not_fit_the_base_is_refused(
    llama_folder: Path, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
    adapter = adapter_upon(llama_folder, config, tmp_path / "adapter")
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    with pytest.raises(Exception, match=why):
        opened(llama_folder, adapter)


# PEFT says so of its own `generate`, which is what is compared with.
@pytest.mark.filterwarnings("ignore:Position ids are not supported")
@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("llama_folder", PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)),
        ("llama_folder", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)),
        ("deepseek_folder", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)),
    ],
)
def test_with_a_prefix_or_a_prompt_it_says_what_peft_says(
    model: str, config: PeftConfig, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(model)
    adapter = beginning_upon(folder, config, tmp_path / "adapter")
    reference = PeftModel.from_pretrained(in_transformers(folder), adapter).eval()

    # Read at once and by pieces, and gone on with token by token.
    assert problems_of(adapter, folder) == []
    wanted = {"folder": str(folder), "adapter": str(adapter), "device": "cpu"}
    alone = open_model(wanted | {"dtype": "float32", "threads": 0})
    at_once = alone.read([5, 6, 7], alone.new_memory(), keep=3)
    expected = reference(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -3:]
    torch.testing.assert_close(torch.from_numpy(at_once), expected.float(), rtol=1e-3, atol=1e-3)
    said = answers(opened(folder, adapter), {})[1]
    assert said == generated(reference, do_sample=False)
    assert said != answers(opened(folder), {})[1]


def beginning_upon(folder: Path, config: PeftConfig, target: Path) -> Path:
    """A random one, large enough to change what is said."""
    torch.manual_seed(3)
    get_peft_model(in_transformers(folder), config).save_pretrained(target)
    return target


def problems_of(adapter: Path, base: Path) -> list[str]:
    shapes = {
        name: list(tensor.shape)
        for name, tensor in load_file(adapter / "adapter_model.safetensors").items()
    }
    return adapter_problems(shapes, json.loads((base / "config.json").read_text()))


def test_a_beginning_of_another_width_is_no_adapter_of_the_base(llama_folder: Path) -> None:
    config = json.loads((llama_folder / "config.json").read_text())

    [said] = adapter_problems({"prompt_embeddings": (5, 63)}, config)

    assert said == "'prompt_embeddings' has rows of 63 numbers, the base takes 64 or 128"
    assert adapter_problems({"prompt_embeddings": (5, 128)}, config) == []
    assert "does not go with" in adapter_problems({"prompt_embeddings": (5, 64), "x": (1,)}, {})[0]


def test_an_adapter_of_another_kind_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    config = IA3Config(target_modules=["q_proj"], feedforward_modules=[])
    adapter = adapter_upon(llama_folder, config, tmp_path / "adapter")

    with pytest.raises(ValueError, match="only LORA"):
        opened(llama_folder, adapter)
