"""Tiny real models: every layer of a Llama, a byte-level tokenizer, ChatML; random weights."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML as SmolLM2 has it, default system prompt included."""

_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CORPUS = (
    "You are a helpful AI assistant. Name the kind of thing. person animal plant food place.",
    "system user assistant the offspring who came first in the order of birth; of a small animal",
)
_VOCABULARY = 384
_HIDDEN = 64
_INTERMEDIATE = 128
_LAYERS = 2
_HEADS = 4
_KV_HEADS = 2
_HEAD_DIM = _HIDDEN // _HEADS
_BUILD_SECONDS = 300


def make_tiny_llama(folder: Path, *, context_tokens: int = 512, seed: int = 0) -> Path:
    """Write a Hugging Face folder of a two-layer bf16 Llama; milliseconds, no torch.

    The same arguments give the same bytes. Special tokens have SmolLM2's ids: 0 end of text,
    1 start and 2 end of a turn (eos). Texts of any script round-trip.

    Returns:
        `folder`, made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    vocabulary = tokenizer.get_vocab_size()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "backend": "tokenizers",
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "model_max_length": context_tokens,
            "pad_token": "<|im_end|>",
            "tokenizer_class": "TokenizersBackend",
            "unk_token": "<|endoftext|>",
        },
    )
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    _write_json(folder / "generation_config.json", ids)
    _write_json(folder / "config.json", _config(vocabulary, context_tokens) | ids)
    _write_bf16(folder / "model.safetensors", _weights(vocabulary, seed))
    return folder


def make_tiny_openvino(source: Path, folder: Path) -> Path:
    """Write the OpenVINO int8 build of a Hugging Face folder, tokenizer models included.

    Runs in a process of its own (about 15 s): the caller imports neither torch nor OpenVINO.

    Returns:
        `folder`, made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "testkit._build_tiny_openvino", str(source), str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS)
    if built.returncode:
        raise RuntimeError(f"the OpenVINO build failed:\n{built.stderr[-4000:]}")
    return folder


def make_other_openvino(build: Path, folder: Path) -> Path:
    """Write a build like `build` that answers otherwise: some weights of each layer reversed.

    Milliseconds, no OpenVINO; tokenizer and shapes stay as they are.

    Returns:
        `folder`, made if it is not there.
    """
    shutil.copytree(build, folder, dirs_exist_ok=True)
    weights = bytearray((folder / "openvino_model.bin").read_bytes())
    for layer in ElementTree.parse(folder / "openvino_model.xml").iter("layer"):
        name, constant = layer.get("name", ""), layer.find("data")
        if layer.get("type") != "Const" or constant is None:
            continue
        if name.endswith(".mlp.up_proj._openvino_orig_weight"):
            start, size = int(constant.get("offset", "")), int(constant.get("size", ""))
            weights[start : start + size] = weights[start : start + size][::-1]
    (folder / "openvino_model.bin").write_bytes(weights)
    return folder


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in _SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS * 4, trainer)
    return tokenizer


def _config(vocabulary: int, context_tokens: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "head_dim": _HEAD_DIM,
        "hidden_act": "silu",
        "hidden_size": _HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": _INTERMEDIATE,
        "max_position_embeddings": context_tokens,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": _HEADS,
        "num_hidden_layers": _LAYERS,
        "num_key_value_heads": _KV_HEADS,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": vocabulary,
    }


def _weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, _HIDDEN)}
    key_value = _KV_HEADS * _HEAD_DIM
    for layer in range(_LAYERS):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        shapes |= {
            f"{attention}.q_proj.weight": (_HIDDEN, _HIDDEN),
            f"{attention}.k_proj.weight": (key_value, _HIDDEN),
            f"{attention}.v_proj.weight": (key_value, _HIDDEN),
            f"{attention}.o_proj.weight": (_HIDDEN, _HIDDEN),
            f"{mlp}.gate_proj.weight": (_INTERMEDIATE, _HIDDEN),
            f"{mlp}.up_proj.weight": (_INTERMEDIATE, _HIDDEN),
            f"{mlp}.down_proj.weight": (_HIDDEN, _INTERMEDIATE),
        }
    # Ten times the usual start in the layers: with less, the tied embedding repeats the last token.
    weights = {
        name: (random.standard_normal(shape) * (0.2 if "_proj" in name else 0.1)).astype(np.float32)
        for name, shape in shapes.items()
    }
    norms = ["model.norm.weight"]
    for layer in range(_LAYERS):
        norms += [
            f"model.layers.{layer}.{name}.weight"
            for name in ("input_layernorm", "post_attention_layernorm")
        ]
    return weights | {name: np.ones(_HIDDEN, np.float32) for name in norms}


def _write_bf16(path: Path, weights: dict[str, np.ndarray]) -> None:
    """A safetensors file of these weights as bfloat16, which numpy itself does not have."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset, bodies = 0, []
    for name, values in sorted(weights.items()):
        body = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(body)],
        }
        offset += len(body)
        bodies.append(body)
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(bodies))


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")
