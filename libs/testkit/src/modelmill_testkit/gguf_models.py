"""Tiny GGUF files with random weights and a byte-level vocabulary."""

from pathlib import Path
from typing import Any

import numpy as np

_HIDDEN, _INNER, _LAYERS, _HEADS, _KV_HEADS = 64, 128, 2, 4, 2
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CONTROL, _NORMAL = 3, 1
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny_gguf(file: Path, *, architecture: str = "qwen2") -> Path:
    """A model of two layers.

    Args:
        architecture: "qwen2", whose tokenizer transformers rebuilds as it was; or "llama", which it
            takes for SentencePiece, so that spaces are lost.
    """
    from gguf import GGUFWriter

    tokens = [*_SPECIAL, *sorted(_byte_letters()), "th", "Ġt"]
    writer = GGUFWriter(file, architecture)
    writer.add_context_length(256)
    writer.add_embedding_length(_HIDDEN)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(_HIDDEN // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if architecture == "qwen2" else "smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL] * len(_SPECIAL) + [_NORMAL] * (len(tokens) - len(_SPECIAL)))
    # A list of one would be read as a text.
    writer.add_token_merges(["t h", "Ġ t"])
    for add, number in ((writer.add_bos_token_id, 1), (writer.add_eos_token_id, 2)):
        add(number)
    writer.add_pad_token_id(2)
    writer.add_chat_template(_TEMPLATE)
    _add_weights(writer, len(tokens), has_biases=architecture == "qwen2")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_weights(writer: Any, vocabulary: int, *, has_biases: bool) -> None:
    random = np.random.default_rng(1)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, random.normal(0.0, 0.02, shape).astype(np.float32))

    narrow = _HIDDEN // _HEADS * _KV_HEADS
    add("token_embd.weight", vocabulary, _HIDDEN)
    add("output_norm.weight", _HIDDEN)
    add("output.weight", vocabulary, _HIDDEN)
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        for norm in ("attn_norm", "ffn_norm"):
            add(f"{block}.{norm}.weight", _HIDDEN)
        for part, size in (("q", _HIDDEN), ("k", narrow), ("v", narrow)):
            add(f"{block}.attn_{part}.weight", size, _HIDDEN)
            if has_biases:
                add(f"{block}.attn_{part}.bias", size)
        add(f"{block}.attn_output.weight", _HIDDEN, _HIDDEN)
        for part in ("gate", "up"):
            add(f"{block}.ffn_{part}.weight", _INNER, _HIDDEN)
        add(f"{block}.ffn_down.weight", _HIDDEN, _INNER)


def _byte_letters() -> list[str]:
    """The letters by which byte-level vocabularies write bytes, as GPT-2 chose them."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + place) for place, _ in enumerate(others)]
