"""The demo's base model, made by its own command and judged by those who will read it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from modelmill_registry.model_folder import check_model_folder
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

DEMO = Path(__file__).parents[2] / "deploy" / "demo"
SPEAK = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, texts = sys.argv[1], json.loads(sys.stdin.read())
tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
ids = [tokenizer(text)["input_ids"] for text in texts]
model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
question = [{"role": "user", "content": "What is the capital of France?"}]
prompt = tokenizer.apply_chat_template(
    question, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0]
print(json.dumps({
    "ids": ids,
    "dtype": str(model.dtype),
    "back": [tokenizer.decode(one) for one in ids],
    "prompt": prompt["input_ids"][0].tolist(),
    "answer": tokenizer.decode(answer[prompt["input_ids"].shape[1]:]),
}))
"""
TEXTS = [
    "the price  of  12345 things\n\n\tis 3.14 %",
    "性价比很高，下次还会买！🤖👩‍👩‍👧‍👦",
    "e\u0301 naïve Ελληνικά кириллица العربية हिन्दी 한국어",
    "<|im_start|>user\nhi<|im_end|>\n",
    " leading and trailing ",
    *(chr(point) for point in range(0x21, 0x2000, 7)),
]

pytestmark = [pytest.mark.heavy, pytest.mark.tier("journeys")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "base"
    made = subprocess.run(
        [sys.executable, DEMO / "base_model.py", folder],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout == ""
    assert len(made.stderr.splitlines()) == 4
    return folder


def test_the_folder_is_one_that_the_registry_takes(base: Path) -> None:
    checked = check_model_folder(base)
    assert checked.architecture == "LlamaForCausalLM"
    assert checked.context_tokens == 8192
    assert not list(base.parent.glob(".*"))


def test_weights_are_bf16_and_generation_ends_with_the_turn(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    generation = json.loads((base / "generation_config.json").read_text())
    size = (base / "model.safetensors").stat().st_size
    assert config["dtype"] == "bfloat16"
    assert config["eos_token_id"] == generation["eos_token_id"] == 2
    assert 2 * 134_515_008 < size < 2 * 134_515_008 + 100_000


def test_every_text_comes_back_from_our_tokenizer_as_it_was(base: Path) -> None:
    tokenizer = ChatTokenizer.load(base)
    assert tokenizer.vocab_size == 49152
    assert tokenizer.eos_ids == {2}
    for text in TEXTS:
        if "<|" not in text:  # markers are read as text there, or left out of answers
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_transformers_reloads_the_same_tokenizer_and_a_model_that_knows_paris(base: Path) -> None:
    spoken = subprocess.run(
        [sys.executable, "-c", SPEAK, base],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert spoken.returncode == 0, spoken.stderr
    seen = json.loads(spoken.stdout.splitlines()[-1])
    tokenizer = ChatTokenizer.load(base)

    assert seen["back"] == TEXTS
    plain = [number for number, text in enumerate(TEXTS) if "<|" not in text]
    assert [seen["ids"][n] for n in plain] == [tokenizer.encode(TEXTS[n]) for n in plain]
    question = "What is the capital of France?"
    assert seen["prompt"] == tokenizer.encode_prompt([{"role": "user", "content": question}])
    assert seen["dtype"] == "torch.bfloat16"
    # Wrongly ordered rotary halves or a torn tokenizer give noise here.
    assert "Paris" in seen["answer"]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    refused = subprocess.run(
        [sys.executable, DEMO / "base_model.py", tmp_path], capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
