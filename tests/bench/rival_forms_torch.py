"""Rivals of forms.* that are libraries: makes int4 weights, saves them, asks them the test rows.

    PYTHON -P tests/bench/rival_forms_torch.py TOOL MODEL QUESTIONS OUT RESULT

Run by the Python of the rival's own environment; nothing of ours is imported. TOOL is
llm_compressor or modelopt.
"""

import copy
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

GROUP = 32
"""128 divides no width of SmolLM2-135M."""
SEQUENCE = 256
AWQ_ROWS = 32
"""Its search computes each row for every scale that it tries."""
Samples = Sequence[list[int]]


def say(phase: str, done: int, total: int) -> None:
    print(json.dumps({"phase": phase, "done": done, "total": total}), flush=True)


def load(folder: str, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()


def llm_compressor(folder: str, samples: Samples, out: str) -> Callable[[], Any]:
    """GPTQ by `oneshot`; what it saved is read again, as vLLM would."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import GPTQModifier
    from transformers import CompressedTensorsConfig

    weights = QuantizationArgs(num_bits=4, symmetric=True, strategy="group", group_size=GROUP)
    groups = {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in samples]
    model = load(folder)
    oneshot(
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(folder),
        dataset=Dataset.from_list(rows),
        recipe=GPTQModifier(config_groups=groups, ignore=["lm_head"]),
        max_seq_length=SEQUENCE,
        num_calibration_samples=len(rows),
    )
    # What is not quantized would be kept as it was loaded, at twice the bytes of the source.
    model.bfloat16().save_pretrained(out, save_compressed=True)
    return lambda: load(out, quantization_config=CompressedTensorsConfig(run_compressed=False))


def modelopt(folder: str, samples: Samples, out: str) -> Callable[[], Any]:
    """AWQ by `mtq.quantize`; the answers are of its simulation of int4 weights."""
    import modelopt.torch.quantization as mtq
    from modelopt.torch.export import export_hf_checkpoint

    model = load(folder)
    config = copy.deepcopy(mtq.INT4_AWQ_CFG)
    _set_blocks(config["quant_cfg"])

    def forward(module: Any) -> None:
        for number, ids in enumerate(samples[:AWQ_ROWS]):
            say("calibrate", number, AWQ_ROWS)
            module(torch.tensor([ids]))

    with torch.inference_mode():
        mtq.quantize(model, config, forward)
    simulated = copy.deepcopy(model)
    mtq.fold_weight(simulated)
    export_hf_checkpoint(model.bfloat16(), export_dir=out)
    return lambda: simulated


def _set_blocks(part: Any) -> None:
    """Blocks of `GROUP` weights wherever the preset has blocks of 128."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "block_sizes" and isinstance(value, dict):
                value[-1] = GROUP
            else:
                _set_blocks(value)
    elif isinstance(part, list):
        for value in part:
            _set_blocks(value)


TOOLS: dict[str, Callable[[str, Samples, str], Callable[[], Any]]] = {
    "llm_compressor": llm_compressor,
    "modelopt": modelopt,
}


@torch.inference_mode()
def best_and_answer(
    model: Any, prompt: list[int], choices: Samples, answer: int
) -> tuple[int, float]:
    """The likeliest choice, and the summed log-likelihood of the right one.

    The prompt is read once. A choice is at most as likely as its first token, so one whose first
    token is less likely than some whole choice is not read.
    """
    read = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
    likely = torch.log_softmax(read.logits[0, -1].float(), -1)
    firsts: list[float] = [likely[choice[0]].item() for choice in choices]
    whole: dict[int, float] = {}
    asked = {answer, firsts.index(max(firsts))}
    while asked:
        numbers = sorted(asked)
        rests = _rests(model, read.past_key_values, [choices[number] for number in numbers])
        for number, rest in zip(numbers, rests, strict=True):
            whole[number] = firsts[number] + rest
        best = max(whole, key=whole.__getitem__)
        asked = {number for number, first in enumerate(firsts) if first > whole[best]} - {*whole}
    return best, whole[answer]


def _rests(model: Any, prompt: Any, choices: Samples) -> list[float]:
    """Log-likelihood of each choice after its first token, by the cache of the prompt."""
    longest = max(map(len, choices))
    if longest == 1:
        return [0.0] * len(choices)
    wanted = torch.tensor([choice + [0] * (longest - len(choice)) for choice in choices])
    cache = copy.deepcopy(prompt)
    cache.batch_repeat_interleave(len(choices))
    logits = model(wanted[:, :-1], past_key_values=cache, use_cache=True).logits
    likely = torch.log_softmax(logits.float(), -1).gather(-1, wanted[:, 1:, None])[..., 0]
    lengths = torch.tensor([len(choice) - 1 for choice in choices])
    is_chosen = torch.arange(longest - 1)[None] < lengths[:, None]
    rests: list[float] = (likely * is_chosen).sum(-1).tolist()
    return rests


def main(tool: str, folder: str, questions: str, out: str, result: str) -> None:
    content = json.loads(Path(questions).read_text())
    started = perf_counter()
    read = TOOLS[tool](folder, content["calibration"], out)
    seconds = perf_counter() - started
    model, correct, labels = read(), [], []
    for row in content["rows"]:
        best, label = best_and_answer(model, row["prompt"], content["choices"], row["answer"])
        correct.append(best == row["answer"])
        labels.append(label)
        say("score", len(correct), len(content["rows"]))
    size = sum(path.stat().st_size for path in Path(out).glob("*.safetensors"))
    found = {"seconds": seconds, "bytes": size, "correct": correct, "labels": labels}
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
