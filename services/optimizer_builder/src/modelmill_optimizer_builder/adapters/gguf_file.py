"""Writes and reads GGUF files: header, vocabulary, and tensors in ggml's quantisations."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from modelmill_evaluation.parity.weights import Weights

from modelmill_optimizer_builder.domain.gguf_models import (
    ARCHITECTURES,
    ROPE_LLAMA3,
    head_size,
    hyper_parameters,
)
from modelmill_optimizer_builder.domain.gguf_vocabulary import MODEL, Vocabulary
from modelmill_optimizer_builder.domain.rotary_positions import rope_of, rope_type_of

MODEL_FILE = "model.gguf"
ROPE_FACTORS = "rope_freqs.weight"
ENDS = ("token_embd.weight", "output.weight")
"""Embedding and output layer, which lose most."""


@dataclass(frozen=True)
class Quantisation:
    """Types of tensors of a file."""

    layers: Type
    ends: Type
    """Of embedding and output layer."""
    file_type: int

    def type_of(self, name: str, shape: Sequence[int]) -> Type:
        """Type of one tensor: norms and biases as they are, rows without whole blocks in bf16."""
        if len(shape) < 2:
            return Type.F32
        wanted = self.ends if name in ENDS else self.layers
        block, _ = gguf.GGML_QUANT_SIZES[wanted]
        return wanted if shape[-1] % block == 0 else Type.BF16


class TensorNames:
    """Names of tensors in a file, by those of a model folder."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._architecture = ARCHITECTURES[str(config["model_type"])]
        names = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
        arch = names[self._architecture.name]
        self._map = gguf.get_tensor_name_map(arch, int(config["num_hidden_layers"]))

    @property
    def architecture(self) -> str:
        """As llama.cpp names it."""
        return self._architecture.name

    def in_file(self, name: str) -> str:
        """Name in the file of a tensor of the model folder.

        Raises:
            ValueError: The architecture has none such.
        """
        found = self._map.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ValueError(f"GGUF has no name for the tensor {name!r}. Report it")
        return str(found)

    def to_file(self, name: str, values: Weights) -> Weights:
        """Order of rows in the file."""
        heads = self._permuted_heads(name)
        if not heads:
            return values
        shape = (heads, 2, len(values) // heads // 2, *values.shape[1:])
        return np.ascontiguousarray(values.reshape(shape).swapaxes(1, 2).reshape(values.shape))

    def from_file(self, name: str, values: Weights) -> Weights:
        """Order of rows in the model folder."""
        heads = self._permuted_heads(name)
        if not heads:
            return values
        shape = (heads, len(values) // heads // 2, 2, *values.shape[1:])
        return np.ascontiguousarray(values.reshape(shape).swapaxes(1, 2).reshape(values.shape))

    def _permuted_heads(self, name: str) -> int:
        """Heads whose rows llama.cpp has in another order; 0 for none."""
        if not self._architecture.rotates_pairs:
            return 0
        heads = int(self._config["num_attention_heads"])
        if ".self_attn.q_proj." in name:
            return heads
        if ".self_attn.k_proj." in name:
            return int(self._config.get("num_key_value_heads") or heads)
        return 0


def write_gguf(
    path: Path,
    config: Mapping[str, Any],
    vocabulary: Vocabulary,
    tensors: Iterable[tuple[str, Weights]],
    quantisation: Quantisation,
) -> None:
    """Write a file.

    Args:
        tensors: By their names in the model folder.
    """
    names = TensorNames(config)
    writer = gguf.GGUFWriter(path, names.architecture)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_quantized_by("Modelmill")
    writer.add_file_type(quantisation.file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, value in hyper_parameters(config).items():
        _add(writer, key, value)
    _add_vocabulary(writer, vocabulary)
    if rope_type_of(config) == ROPE_LLAMA3:
        writer.add_tensor(ROPE_FACTORS, rope_factors(config))
    for name, values in tensors:
        stored = names.in_file(name)
        kind = quantisation.type_of(stored, values.shape)
        data = gguf.quants.quantize(names.to_file(name, values), kind)
        writer.add_tensor(stored, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: Any, key: str, value: int | float | str) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    else:
        writer.add_float32(key, value)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(MODEL)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    for part, token in vocabulary.special.items():
        writer.add_uint32(f"tokenizer.ggml.{part}_token_id", token)
    writer.add_add_bos_token(vocabulary.adds_bos)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)


def rope_factors(config: Mapping[str, Any]) -> Weights:
    """Divisors of rotary frequencies of Llama 3.1 and later, as its paper gives them."""
    rope, size = rope_of(config), head_size(config)
    rates = 1.0 / float(rope["rope_theta"]) ** (np.arange(0, size, 2, dtype=np.float64) / size)
    lengths = 2 * math.pi / rates
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    trained, factor = float(rope["original_max_position_embeddings"]), float(rope["factor"])
    share = np.clip((trained / lengths - low) / (high - low), 0.0, 1.0)
    return np.asarray(1 / ((1 - share) / factor + share), np.float32)


class GgufFile:
    """A file that was written, as `gguf` reads it."""

    def __init__(self, path: Path) -> None:
        self._reader = gguf.GGUFReader(path)

    def value(self, key: str) -> Any:
        """Value of a key; None if there is none."""
        found = self._reader.get_field(key)
        return None if found is None else found.contents()

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(int(tensor.n_bytes) for tensor in self._reader.tensors)

    def tensors(
        self, config: Mapping[str, Any], names: Sequence[str]
    ) -> Iterator[tuple[str, Weights]]:
        """Tensors as float32, by their names in the model folder, in its order of rows."""
        file_names = TensorNames(config)
        ours = {file_names.in_file(name): name for name in (*names, "lm_head.weight")}
        for tensor in self._reader.tensors:
            if tensor.name == ROPE_FACTORS:
                continue
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            name = ours.get(tensor.name, tensor.name)
            yield name, file_names.from_file(name, np.asarray(values, np.float32))

    def rope_factors(self) -> list[float]:
        """Divisors of rotary frequencies; none where the architecture has none."""
        found = [each.data.tolist() for each in self._reader.tensors if each.name == ROPE_FACTORS]
        return [float(value) for values in found for value in values]
