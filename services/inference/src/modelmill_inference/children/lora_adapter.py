"""Reads LoRA adapters in PEFT's format, without PEFT and torch."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

Floats = NDArray[np.float32]

_BEFORE = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "modules_to_save": (None, []),
    "layer_replication": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "alora_invocation_tokens": (None, []),
}
"""Supported values per setting; others change the meaning of the weights."""


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """LoRA weights; `scale * (x @ down.T @ up.T)` is added to a module's output."""

    weights: Path
    scale: float
    down: Mapping[str, Floats]
    """By module name, [rank, in]."""
    up: Mapping[str, Floats]
    """By module name, [out, rank]."""


def read_adapter(folder: Path) -> LoraAdapter:
    """Read the adapter in `folder`.

    Raises:
        ValueError: it is not a plain LoRA adapter; names the unsupported setting.
        OSError, KeyError: a file or a setting is missing.
    """
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    wrong = [
        f"{name} is {config[name]!r}"
        for name, allowed in _PLAIN.items()
        if name in config and config[name] not in allowed
    ]
    if config.get("peft_type") in ("PREFIX_TUNING", "PROMPT_TUNING"):
        raise ValueError(
            f"this engine cannot run an adapter of type {config['peft_type']}; the transformers "
            "engine can, on the base as it was imported"
        )
    if wrong:
        raise ValueError(f"the adapter is not plain LoRA: {', '.join(wrong)}")
    tensors = dict(_tensors(folder / WEIGHTS_FILE))
    down = {_module(name, _DOWN): values for name, values in tensors.items() if _DOWN in name}
    up = {_module(name, _UP): values for name, values in tensors.items() if _UP in name}
    strange = [name for name in tensors if _DOWN not in name and _UP not in name]
    if strange or down.keys() != up.keys() or not down:
        raise ValueError(f"the adapter's weights are not pairs of A and B: {strange[:3]}")
    rank = config["r"]
    share = math.sqrt(rank) if config.get("use_rslora") else rank
    return LoraAdapter(folder / WEIGHTS_FILE, config["lora_alpha"] / share, down, up)


def _module(name: str, end: str) -> str:
    return name.removeprefix(_BEFORE).removesuffix(end)


def _tensors(path: Path) -> Iterator[tuple[str, Floats]]:
    """Parse a safetensors file: header length, JSON header, values."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8:begin]).items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            body = content[begin + start : begin + end]
            yield name, _values(body, entry["dtype"]).reshape(entry["shape"])


def _values(body: bytes, kind: str) -> Floats:
    if kind == "BF16":
        # bfloat16 is the upper half of a float32.
        return (np.frombuffer(body, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(body, {"F32": "<f4", "F16": "<f2"}[kind]).astype(np.float32)
