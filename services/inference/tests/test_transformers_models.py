"""Which models and adapters the reference engine takes, and that it computes what their makers do.

In this process, because a process of the engine's own starts for seconds.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from inference.children import transformers_model
from inference.children.transformers import TransformersRunner
from peft import IA3Config, LoraConfig, PeftConfig, PeftModel, get_peft_model
from testkit.models import make_tiny_deepseek
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.heavy

PROMPT = list(range(20, 60))
PLAIN = {
    "id": 1,
    "prompt": PROMPT,
    "max_new_tokens": 24,
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "seed": 0,
    "logprobs": None,
    "grammar": "",
    "eos_ids": [2],
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # These models are too small to be shared.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def deepseek_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_deepseek(tmp_path_factory.mktemp("deepseek"))


def opened(folder: Path, adapter: Path | None = None, cache_bytes: int = 1 << 30) -> Any:
    return TransformersRunner(
        {
            "folder": str(folder),
            "adapter": adapter and str(adapter),
            "device": "cpu",
            "dtype": "float32",
            "threads": 0,
            "cache_bytes": cache_bytes,
        }
    )


def answers(runner: TransformersRunner, *asked: dict[str, Any]) -> dict[int, list[int]]:
    """Tokens by request, all asked for at once."""
    for add in asked:
        runner.add(PLAIN | add)
    told: dict[int, list[int]] = {add.get("id", 1): [] for add in asked}
    while runner.busy:
        for news in runner.step():
            told[news.number] += news.tokens
    return told


def generated(model: Any, **how: Any) -> list[int]:
    """What `generate` of transformers says."""
    ids = torch.tensor([PROMPT])
    mask = torch.ones_like(ids)
    out = model.generate(ids, attention_mask=mask, max_new_tokens=24, pad_token_id=2, **how)
    tokens: list[int] = out[0, len(PROMPT) :].tolist()
    return tokens


def in_transformers(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def done(work: Any) -> Any:
    """The outcome of work in slices."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("model", ["llama_folder", "deepseek_folder"])
def test_it_says_what_generate_says(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    reference, runner = in_transformers(folder), opened(folder)

    assert answers(runner, {})[1] == generated(reference, do_sample=False)
    assert answers(runner, {"repetition_penalty": 1.4})[1] == generated(
        reference, do_sample=False, repetition_penalty=1.4
    )


@pytest.mark.parametrize("model", ["llama_folder", "deepseek_folder"])
def test_prompts_in_pieces_and_models_that_keep_nothing_say_the_same(
    model: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue(model)
    whole = answers(opened(folder), {})[1]

    monkeypatch.setattr(transformers_model, "PREFILL_TOKENS", 7)
    assert answers(opened(folder), {})[1] == whole

    monkeypatch.setattr(transformers_model, "DynamicCache", lambda config: None)
    assert answers(opened(folder), {})[1] == whole


def test_scores_and_vectors_are_those_of_the_whole_text(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_model, "PREFILL_TOKENS", 7)
    runner, reference = opened(llama_folder), in_transformers(llama_folder)
    likeliest = answers(runner, {"max_new_tokens": 20})[1]
    texts = [likeliest, [5], list(range(100, 140)), [likeliest[0]]]

    scores = done(runner.score(PROMPT, texts))
    (vector,) = done(runner.embed([PROMPT]))

    for tokens, (total, is_greedy) in zip(texts, scores, strict=True):
        with torch.no_grad():
            read = reference(torch.tensor([PROMPT + tokens]), output_hidden_states=True)
        told = read.logits[0, len(PROMPT) - 1 : -1].log_softmax(-1)
        assert total == pytest.approx(
            float(told.gather(1, torch.tensor(tokens)[:, None]).sum()), abs=1e-3
        )
        assert is_greedy == (tokens == likeliest[: len(tokens)])
    mean = read.hidden_states[-1][0, : len(PROMPT)].mean(0)
    assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-4)


def test_penalties_of_presence_and_frequency_are_taken_from_every_logit(llama_folder: Path) -> None:
    # All are driven under 0 from where they are: a token that was said is not said again.
    runner = opened(llama_folder)
    told = answers(runner, {"presence_penalty": 2.0, "max_new_tokens": 200})[1]
    plain = answers(runner, {"max_new_tokens": 200})[1]

    assert len(set(told)) > 1.5 * len(set(plain))


def test_a_request_waits_until_there_is_room_and_one_that_never_fits_is_told(
    llama_folder: Path,
) -> None:
    alone = opened(llama_folder)
    alike = [{"id": number, "prompt": [number + 3] * 30} for number in range(4)]
    expected = {add["id"]: answers(alone, add)[add["id"]] for add in alike}
    of_one_token = 2 * 2 * 2 * 16 * 4
    runner = opened(llama_folder, cache_bytes=60 * of_one_token)

    assert answers(runner, *alike) == expected

    runner.add(PLAIN | {"id": 8, "prompt": [3] * 61})
    runner.add(PLAIN | {"id": 9, "max_new_tokens": 400})
    runner.cancel(7)
    ends = []
    while runner.busy:
        ends += [(news.number, news.end) for news in runner.step() if news.end]
    assert ends == [(8, "no_room"), (9, "no_room")]
    assert answers(runner, *alike) == expected


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
    header = {"model.embed_tokens.weight": {"dtype": "F32", "shape": [1 << 20, 1 << 22]}}
    header["model.embed_tokens.weight"]["data_offsets"] = [0, 1 << 44]
    encoded = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded)


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_without_weights, "no safetensors file"),
        (_truncated, "incomplete|invalid|Error"),
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


def test_an_adapter_of_another_kind_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    config = IA3Config(target_modules=["q_proj"], feedforward_modules=[])
    adapter = adapter_upon(llama_folder, config, tmp_path / "adapter")

    with pytest.raises(ValueError, match="only LORA"):
        opened(llama_folder, adapter)


def test_special_tokens_are_not_taken_for_their_names_in_a_grammar(llama_folder: Path) -> None:
    said = answers(opened(llama_folder), {"grammar": 'root ::= "<|im_start|>"'})[1]

    assert len(said) > 2
    assert [token for token in said if token < 3] == [2]


IMPOSSIBLE = ["root ::= (", "root ::= nothing", 'root ::= root "a"', 'other ::= "a"']
DEAD_END = r'root ::= "a" [^\x00-\U0010FFFF]'


def test_a_bad_grammar_harms_only_the_request_that_has_it(llama_folder: Path) -> None:
    runner = opened(llama_folder)
    expected = answers(runner, {})[1]
    runner.add(PLAIN)
    for grammar in IMPOSSIBLE:
        with pytest.raises(Exception, match=r"EBNF parser error|allows no token"):
            runner.add(PLAIN | {"id": 2, "grammar": grammar})
    runner.add(PLAIN | {"id": 3, "grammar": DEAD_END})

    told, ends = [], []
    while runner.busy:
        for news in runner.step():
            told += news.tokens if news.number == 1 else []
            ends += [(news.number, news.end)] if news.end else []

    assert told == expected
    assert (3, "dead_end") in ends
