"""PEFT adapters of LoRA as others train them, with random weights, by numpy alone."""

import json
from pathlib import Path

import numpy as np

from modelmill_testkit.tiny_weights import write_bf16

TARGETS = ("q_proj", "v_proj")


def make_lora_adapter(
    folder: Path, base: Path, *, rank: int = 4, base_name: str = "org/tiny"
) -> Path:
    """An adapter over the attention of a base, without tokenizer.

    Args:
        base_name: What it calls its base.
    """
    folder.mkdir(parents=True)
    with (base / "model.safetensors").open("rb") as content:
        header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
    random, weights = np.random.default_rng(7), {}
    for name, tensor in sorted(header.items()):
        layer, _, end = name.rpartition(".")
        if end != "weight" or layer.rpartition(".")[2] not in TARGETS:
            continue
        outer, inner = tensor["shape"]
        own = f"base_model.model.{layer}"
        for part, shape in (("lora_A", (rank, inner)), ("lora_B", (outer, rank))):
            drawn = random.normal(0.0, 0.05, shape).astype(np.float32)
            weights[f"{own}.{part}.weight"] = drawn
    write_bf16(folder / "adapter_model.safetensors", weights)
    config = {
        "base_model_name_or_path": base_name,
        "bias": "none",
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": [*TARGETS],
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
