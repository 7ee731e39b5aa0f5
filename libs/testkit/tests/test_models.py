"""The tiny models are real: others' loaders take them, and nothing heavy runs in the test."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmill_registry.model_folder import check_model_folder
from modelmill_testkit.models import (
    kept_tiny_openvino,
    make_tiny_deepseek,
    make_tiny_llama,
    make_tiny_openvino,
)
from tokenizers import Tokenizer

TEXTS = ["Hello  wörld 12345", "性价比很高 🤖\n\t<x>", " a\u0301 ", "العربية हिन्दी 한국어"]

GENERATE_TORCH = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
turns = [{"role": "user", "content": "hi"}]
prompt = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
ids = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0].tolist()
text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
print(json.dumps({"dtype": str(model.dtype), "prompt": text, "ids": ids}))
"""
GENERATE_OPENVINO = """
import json, sys
import openvino_genai
pipeline = openvino_genai.LLMPipeline(sys.argv[1], "CPU")
config = openvino_genai.GenerationConfig(max_new_tokens=8, ignore_eos=True)
config.apply_chat_template = False
print(json.dumps({"text": pipeline.generate(sys.argv[2], config)}))
"""


def run(script: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_the_same_arguments_give_the_same_bytes_and_another_seed_other_weights(
    tmp_path: Path,
) -> None:
    def made(name: str, seed: int) -> dict[str, bytes]:
        folder = make_tiny_llama(tmp_path / name, seed=seed)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    one, two, other = made("one", 0), made("two", 0), made("other", 1)
    assert one == two
    assert {name for name in one if one[name] != other[name]} == {"model.safetensors"}


@pytest.mark.parametrize(
    ("make", "architecture"),
    [(make_tiny_llama, "LlamaForCausalLM"), (make_tiny_deepseek, "DeepseekV3ForCausalLM")],
)
def test_a_tiny_model_is_a_clean_model_folder(
    tmp_path: Path, make: Callable[..., Path], architecture: str
) -> None:
    checked = check_model_folder(make(tmp_path / "tiny", context_tokens=128))
    assert checked.architecture == architecture
    assert checked.context_tokens == 128
    assert checked.size_bytes < 700_000


def test_making_a_tiny_llama_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from modelmill_testkit.models import make_tiny_llama; "
        f"make_tiny_llama(Path({str(tmp_path / 'tiny')!r})); "
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_its_tokenizer_gives_every_text_back_and_knows_the_turns(tmp_path: Path) -> None:
    folder = make_tiny_llama(tmp_path / "tiny")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    assert [tokenizer.encode(marker).ids for marker in markers] == [[0], [1], [2]]
    assert tokenizer.encode("12").ids == tokenizer.encode("1").ids + tokenizer.encode("2").ids


@pytest.mark.heavy
def test_transformers_loads_it_in_bf16_and_it_says_various_things(tmp_path: Path) -> None:
    said = run(GENERATE_TORCH, str(make_tiny_llama(tmp_path / "tiny")))
    assert said["dtype"] == "torch.bfloat16"
    assert str(said["prompt"]).endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    ids = said["ids"]
    assert isinstance(ids, list)
    assert len(set(ids[-24:])) > 10


@pytest.mark.heavy
def test_its_openvino_build_is_int8_and_generates_from_text(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    was_there = "openvino" in sys.modules
    build = kept_tiny_openvino(pytestconfig.rootpath, make_tiny_llama(tmp_path / "tiny"))
    names = {path.name for path in build.iterdir()}
    assert {"openvino_model.xml", "openvino_tokenizer.xml", "openvino_detokenizer.bin"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    assert 'element_type="u8"' in (build / "openvino_model.xml").read_text()
    assert run(GENERATE_OPENVINO, str(build), "a small animal")["text"]
    assert ("openvino" in sys.modules) == was_there


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    with pytest.raises(RuntimeError, match=r"no config\.json"):
        make_tiny_openvino(tmp_path / "broken", tmp_path / "build")
