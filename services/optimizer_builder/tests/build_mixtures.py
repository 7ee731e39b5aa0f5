"""Child of test_int4: builds models that the exporter was not tried with, and prints how far
they are off.

python build_mixtures.py SCRATCH BASE PREFIX
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

forbid_telemetry()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from modelmill_optimizer_builder.adapters.merged_model import MergedModel  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_export import (  # noqa: E402
    MODEL_FILE,
    export_bf16,
)
from modelmill_optimizer_builder.adapters.openvino_int8 import OpenVinoInt8  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_parity import StatefulModel  # noqa: E402
from modelmill_optimizer_builder.domain.build_plan import (  # noqa: E402
    NotExportableError,
    NotMergeableError,
)
from modelmill_optimizer_builder.make_build import FormRequest, Source  # noqa: E402
from modelmill_testkit.models import make_tiny_deepseek  # noqa: E402
from modelmill_tokenization.chat_tokenizer import ChatTokenizer  # noqa: E402
from transformers import (  # noqa: E402
    AutoConfig,
    AutoModelForCausalLM,
    GemmaConfig,
    GptOssConfig,
    Qwen3MoeConfig,
)

STEPS = 6
WEIGHTS = "model.safetensors"
GEMMA = {"head_dim": 16, "num_key_value_heads": 1}
# Their exporters multiply every token with all experts; DeepSeek's gathers those of each.
MIXTURE = {
    **{"head_dim": 32, "num_key_value_heads": 2, "moe_intermediate_size": 128},
    **{"num_experts": 8, "num_experts_per_tok": 2},
}
GPT_OSS = {"head_dim": 16, "num_key_value_heads": 2, "num_local_experts": 8}
SAME_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "max_position_embeddings"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
)


def decode(model: StatefulModel, ids: list[int], prompt: int) -> list[np.ndarray]:
    """Logits after prefill and after each decode step."""
    model.reset()
    found = []
    for first, last in [(0, prompt), *((at, at + 1) for at in range(prompt, len(ids)))]:
        logits = model.run(
            np.array([ids[first:last]]),
            mask=np.ones((1, last), np.int64),
            positions=np.arange(first, last)[None],
            parents=[0],
            pick=np.array([[last - first - 1]]),
        )
        found.append(logits[0, 0].copy())
    return found


def make_tiny(tiny_base: Path, folder: Path, config_class: Any, **choices: Any) -> Path:
    """A model of random weights, with the tokenizer and the sizes of the tiny base."""
    shutil.copytree(tiny_base, folder)
    like = AutoConfig.from_pretrained(tiny_base)
    same = {name: getattr(like, name) for name in SAME_SIZES}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config_class(**same | choices))
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def build(base: Path, scratch: Path) -> dict[str, float]:
    """Largest logit difference between the bf16 export and torch over all steps, and bytes."""
    prompt = ChatTokenizer.load(base).encode_prompt([{"role": "user", "content": "hi"}])
    OpenVinoInt8().make(
        FormRequest(Source(base, None), [prompt], scratch, scratch / "built", lambda *_report: None)
    )
    said, expected = MergedModel.load(base, None).greedy_logits(prompt, STEPS)
    model = StatefulModel(scratch / "reference" / MODEL_FILE, {"INFERENCE_PRECISION_HINT": "f32"})
    decoded = decode(model, [*prompt, *said[:-1]], len(prompt))
    off = max(
        float(np.abs(ours - theirs).max()) for ours, theirs in zip(decoded, expected, strict=True)
    )
    spread = max(float(np.ptp(theirs)) for theirs in expected)
    weights = {"built": scratch / "built" / "openvino_model.bin", "base": base / WEIGHTS}
    sizes = {name: path.stat().st_size for name, path in weights.items()}
    return {"off": off, "spread": spread, "steps": len(decoded), **sizes}


def refusal(base: Path, adapter: Path) -> str:
    """Error message for an adapter that cannot be merged."""
    try:
        MergedModel.load(base, adapter)
    except NotMergeableError as error:
        return str(error)
    return ""


def not_exported(base: Path, scratch: Path) -> str:
    """Error message for an architecture of which the exporter has not heard."""
    merged = MergedModel.load(base, None)
    merged.module.config.model_type = "unheard-of"
    try:
        export_bf16(merged, scratch)
    except NotExportableError as error:
        return str(error)
    return ""


def main(root: Path, tiny_base: Path, prefix: Path) -> dict[str, object]:
    """What test_int4 looks at."""
    deepseeks = {
        f"deepseek {version}": make_tiny_deepseek(root / f"deepseek-{version}", version=version)
        for version in (2, 3)
    }
    gemma = make_tiny(tiny_base, root / "gemma", GemmaConfig, **GEMMA)
    mixture = make_tiny(tiny_base, root / "mixture", Qwen3MoeConfig, **MIXTURE)
    gpt_oss = make_tiny(tiny_base, root / "gpt-oss", GptOssConfig, **GPT_OSS)
    built = {**deepseeks, "gemma": gemma, "mixture": mixture, "gpt-oss": gpt_oss}
    return {
        "built": {name: build(folder, root / f"{name} built") for name, folder in built.items()},
        "refused": refusal(tiny_base, prefix),
        "not_exported": not_exported(tiny_base, root / "unheard-of"),
    }


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:]))))
