"""Adapters of the tiny model, as the trainer writes them, with random weights."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

WIDTHS = {"q_proj": 64, "v_proj": 32}
HIDDEN, RANK = 64, 4


def write_adapter(
    folder: Path,
    base: Path,
    *,
    seed: int = 1,
    hidden: int = HIDDEN,
    layers: int = 2,
    widths: Mapping[str, int] = WIDTHS,
) -> Path:
    """Write one for the model in `base`; another width or depth than the base's fits no more."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(layers):
        for name, width in widths.items():
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{stem}.lora_A.weight"] = random.normal(0, 0.2, (RANK, hidden))
            tensors[f"{stem}.lora_B.weight"] = random.normal(0, 0.2, (width, RANK))
    _write_float32(folder / "adapter_model.safetensors", tensors)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [*widths],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(base / name, folder / name)
    return folder


def _write_float32(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, values in tensors.items():
        written = values.astype("<f4").tobytes()
        offsets = [len(body), len(body) + len(written)]
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": offsets}
        body += written
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)
