"""Verifies that an adapter was merged in float32 (torch).

Logits cannot show it: a merge in bf16 differs by less than int8 weights do. The weights can, bit
by bit. Those of sampled layers are recomputed from the files of base and adapter, by code
independent of the merge.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from modelmill_evaluation.parity.goldens import MERGE_DTYPE, ParityError
from safetensors import safe_open
from torch import Tensor

from modelmill_optimizer_builder.adapters.merged_model import MergedModel

SAMPLED = 8
"""Number of recomputed layers, spread over the model."""
TOLERATED_SHARE = 0.0001
"""Share of sampled weights that may be rounded to the neighbouring number. Another order of
summation moves some that lie half-way between two bf16 numbers."""
PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
FORMATS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class MergeCheck:
    """Result of the check."""

    layers: int
    """Number of sampled layers; 0 for a kind of adapter that is not recomputed, such as DoRA."""
    other_share: float
    """Share of their weights that differ from a merge in float32."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        if not self.layers:
            return {"layers_compared": 0}
        return {
            "dtype": "float32",
            "layers_compared": self.layers,
            "other_share": self.other_share,
        }


def check_merge(merged: MergedModel, base: Path, adapter: Path) -> MergeCheck:
    """Accept a merge that was computed in float32 and rounded to bf16 once.

    Raises:
        ParityError: MERGE_DTYPE; names the dtype that explains the weights, if one does.
    """
    weights = dict(merged.module.named_parameters())
    others = dict.fromkeys(FORMATS, 0)
    layers = count = 0
    for layer in _sampled(base, adapter):
        found = weights.get(f"{layer.path}.weight")
        if found is None or found.shape != layer.base.shape:
            continue
        layers, count = layers + 1, count + found.numel()
        for dtype in FORMATS:
            others[dtype] += int((layer.merged_in(dtype) != found).sum())
    check = MergeCheck(layers, others[torch.float32] / max(count, 1))
    if check.other_share > TOLERATED_SHARE:
        nearest = min(FORMATS, key=others.__getitem__)
        name = str(nearest).removeprefix("torch.")
        guess = f"; a merge in {name} gives them" if nearest != torch.float32 else ""
        raise ParityError(
            MERGE_DTYPE,
            f"{check.other_share:.2%} of the weights in {layers} sampled layers are not those of "
            f"base and adapter added in float32{guess}",
        )
    return check


@dataclass(frozen=True)
class _Layer:
    """A linear layer and its LoRA factors."""

    path: str
    base: Tensor
    """(O, I), in the dtype of the file."""
    down: Tensor
    """(R, I)."""
    up: Tensor
    """(O, R)."""
    scale: float

    def merged_in(self, dtype: torch.dtype) -> Tensor:
        """The bf16 weights of a merge in `dtype`: factors, product and sum are rounded to it.

        Products are summed in float32, as PEFT does on a CPU.
        """
        up, down = (factor.to(dtype).float() for factor in (self.up, self.down))
        product = (up @ down) * self.scale
        return (self.base.to(dtype) + product.to(dtype)).to(torch.bfloat16)


def _sampled(base: Path, adapter: Path) -> Iterator[_Layer]:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("fan_in_fan_out"):
        return
    files = _files_of(base)
    with safe_open(adapter / "adapter_model.safetensors", "pt") as tensors:
        names = sorted(name for name in tensors.keys() if name.endswith(DOWN))  # noqa: SIM118
        for name in names[:: max(1, len(names) // SAMPLED)][:SAMPLED]:
            path = name.removeprefix(PREFIX).removesuffix(DOWN)
            file = files.get(f"{path}.weight")
            if file is None:
                continue  # the layer is stored in another shape than it is computed in
            with safe_open(file, "pt") as weights:
                weight = weights.get_tensor(f"{path}.weight")
            down = tensors.get_tensor(name)
            up = tensors.get_tensor(name.removesuffix(DOWN) + UP)
            yield _Layer(path, weight, down, up, _scale(config, path, len(down)))


def _scale(config: Mapping[str, Any], path: str, rank: int) -> float:
    """LoRA scale of a layer; PEFT allows an alpha for single layers."""
    patterns = config.get("alpha_pattern") or {}
    alpha = next((v for key, v in patterns.items() if path.endswith(key)), config["lora_alpha"])
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _files_of(base: Path) -> dict[str, Path]:
    """File of each tensor of a model."""
    files = {}
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            files.update(dict.fromkeys(tensors.keys(), path))
    return files
