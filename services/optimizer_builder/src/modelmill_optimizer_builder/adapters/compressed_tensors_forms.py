"""The target forms compressed-tensors-*: safetensors with packed integers, for vLLM.

Written by the library of that format, which vLLM itself reads with; read back by code of our own,
so that a fault of the library is seen.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import compressed_tensors
import numpy as np
import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    apply_quantization_config,
)
from modelmill_evaluation.parity.goldens import CONFIG_DIFFERS, ParityError
from modelmill_evaluation.parity.weights import WeightLimit, Weights
from modelmill_tokenization.chat_tokenizer import read_json
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from modelmill_optimizer_builder.adapters.merged_model import reference_module
from modelmill_optimizer_builder.adapters.portable_build import (
    PortableBuilder,
    PortableForm,
    WrittenSizes,
    float_array,
)
from modelmill_optimizer_builder.domain.parity import INT4_LIMIT, ROUNDED_LIMIT
from modelmill_optimizer_builder.make_build import Report, Source

HEAD = "lm_head"
"""Stays as it is, as the embedding does: vLLM reads no packed embedding."""
WORD_BITS = 32
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Ranges that are tried for a scale, as shares of the largest weight."""
FORMAT = "pack-quantized"


class CompressedTensorsBuilder(PortableBuilder):
    """Linear layers as packed integers with scales; symmetric, since most kernels know no other."""

    bits: ClassVar[int]
    group_size: ClassVar[int | None] = None
    """None for one scale per output channel."""
    words: ClassVar[str]

    def refuse(self, source: Source) -> None:
        """Nothing: the config says all, before the job begins."""

    def write(self, reference: Path, target: Path, report: Report) -> Mapping[str, Any]:
        module = reference_module(reference)
        weights = QuantizationArgs(
            num_bits=self.bits,
            symmetric=True,
            strategy="channel" if self.group_size is None else "group",
            group_size=self.group_size,
        )
        scheme = QuantizationScheme(targets=["Linear"], weights=weights)
        config = QuantizationConfig(config_groups={"group_0": scheme}, ignore=[HEAD])
        apply_quantization_config(module, config, show_progress=False)
        layers = [each for each in module.modules() if hasattr(each, "quantization_scheme")]
        with torch.no_grad():
            for done, layer in enumerate(layers, 1):
                report("quantise", done, len(layers), "layer")
                layer.weight_scale.copy_(best_scales(layer.weight, self.bits, self.group_size))
        compressor = ModelCompressor.from_pretrained_model(module)
        compressor.compress_model(module)
        compressor.remove_decompression_hook(module)
        module.to(torch.bfloat16)  # scales, and what is no linear layer; integers stay
        module.save_pretrained(target)
        compressor.update_config(str(target))
        return {
            "weights": self.words,
            "scales": "of the least squared error of five ranges",
            "writer": f"compressed-tensors {version(compressed_tensors.__name__)}",
        }

    def sizes(self, target: Path) -> WrittenSizes:
        size = sum(path.stat().st_size for path in target.glob("*.safetensors"))
        return WrittenSizes(size, size)

    def tensors(self, target: Path, names: Sequence[str]) -> Iterator[tuple[str, Weights]]:
        for path in sorted(target.glob("*.safetensors")):
            with safe_open(path, "pt") as stored:
                for name in stored.keys():  # noqa: SIM118
                    stem, _, part = name.rpartition(".")
                    if part == "weight_packed":
                        packed, scale, shape = (
                            stored.get_tensor(f"{stem}.{each}")
                            for each in ("weight_packed", "weight_scale", "weight_shape")
                        )
                        codes = unpacked(packed.numpy(), self.bits, tuple(shape.tolist()))
                        yield f"{stem}.weight", dequantised(codes, float_array(scale))
                    elif part not in ("weight_scale", "weight_shape"):
                        yield name, float_array(stored.get_tensor(name))

    def check_files(self, reference: Path, target: Path) -> None:
        said = read_json(target / "config.json").get("quantization_config") or {}
        found = json.dumps(said, default=str)
        groups = list((said.get("config_groups") or {}).values())
        weights = groups[0].get("weights", {}) if groups else {}
        alike = (
            said.get("quant_method") == "compressed-tensors"
            and said.get("format") == FORMAT
            and said.get("quantization_status") == "compressed"
            and (weights.get("num_bits"), weights.get("group_size")) == (self.bits, self.group_size)
        )
        if not alike:
            raise ParityError(
                CONFIG_DIFFERS, f"the quantization_config of {self.form.name} is {found[:200]}"
            )


class CompressedTensorsInt8(CompressedTensorsBuilder):
    """int8 weights, one scale per output channel."""

    form = PortableForm("compressed-tensors-int8", "int8", ROUNDED_LIMIT, WeightLimit(error=0.05))
    bits = 8
    words = "int8, symmetric, one scale per output channel; embedding and output bf16"


class CompressedTensorsInt4(CompressedTensorsBuilder):
    """int4 weights in groups of 32."""

    form = PortableForm("compressed-tensors-int4", "int4", INT4_LIMIT, WeightLimit(error=0.2))
    bits = 4
    group_size = 32
    words = "int4, symmetric, in groups of 32; embedding and output bf16"


def best_scales(weight: Tensor, bits: int, group_size: int | None) -> Tensor:
    """(O, G) scales, each a bf16 number, that round the weights (O, I) with the least error."""
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    groups = weight.reshape(len(weight), -1, group_size or weight.shape[-1])
    largest = groups.abs().amax(-1) / (highest + 0.5)
    best = torch.full_like(largest, torch.inf)
    scales = torch.ones_like(largest)
    for share in SHRINKS:
        scale = (largest * share).to(torch.bfloat16).float()
        scale = torch.where(scale == 0, 1.0, scale)
        codes = (groups / scale[..., None]).round().clamp(lowest, highest)
        errors = (codes * scale[..., None] - groups).square().sum(-1)
        scales = torch.where(errors < best, scale, scales)
        best = torch.minimum(errors, best)
    return scales


def unpacked(words: NDArray[np.int32], bits: int, shape: tuple[int, ...]) -> Weights:
    """Codes (O, I) of packed words (O, W), the first in the lowest bits; signed."""
    count = WORD_BITS // bits
    places = np.arange(count, dtype=np.uint32) * np.uint32(bits)
    codes = (words.view(np.uint32)[..., None] >> places) & np.uint32(2**bits - 1)
    rows = codes.reshape(len(words), -1)[:, : shape[1]]
    return np.asarray(rows, np.float32) - np.float32(2 ** (bits - 1))


def dequantised(codes: Weights, scales: Weights) -> Weights:
    """Codes (O, I) times scales (O, G)."""
    groups = codes.reshape(len(codes), scales.shape[1], -1) * scales[..., None]
    return np.ascontiguousarray(groups.reshape(codes.shape))
