"""Tiny real models: every layer of a Llama, a byte-level tokenizer, ChatML; random weights."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
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

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
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
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
_NOPE, _ROPE, _VALUE = 16, 8, 16
_QUERY_RANK, _KV_RANK = 32, 24
_EXPERTS, _EXPERT = 8, 32
_DEEPSEEK: dict[str, object] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "first_k_dense_replace": 1,
    "head_dim": _ROPE,
    "kv_lora_rank": _KV_RANK,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": _EXPERT,
    "n_group": 2,
    "n_routed_experts": _EXPERTS,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_experts_per_tok": 2,
    "num_key_value_heads": _HEADS,
    "q_lora_rank": _QUERY_RANK,
    "qk_nope_head_dim": _NOPE,
    "qk_rope_head_dim": _ROPE,
    "routed_scaling_factor": 1.0,
    "topk_group": 1,
    "v_head_dim": _VALUE,
}
_BUILD_SECONDS = 300


def make_tiny_llama(
    folder: Path,
    *,
    context_tokens: int = 512,
    seed: int = 0,
    chat_template: str = CHAT_TEMPLATE,
    special: Sequence[str] = SPECIAL,
) -> Path:
    """Write a Hugging Face folder of a two-layer bf16 Llama; milliseconds, no torch.

    The same arguments give the same bytes. Special tokens have SmolLM2's ids: 0 end of text,
    1 start and 2 end of a turn (eos); others may follow. Texts of any script round-trip.

    Returns:
        `folder`, made if it is not there.
    """
    vocabulary = _write_tokenizer(folder, context_tokens, chat_template, special)
    _write_json(folder / "config.json", _config(vocabulary, context_tokens) | _IDS)
    _write_bf16(folder / "model.safetensors", _weights(vocabulary, seed))
    return folder


def make_tiny_deepseek(folder: Path, *, context_tokens: int = 512, seed: int = 0) -> Path:
    """The same of a DeepSeek V3: latent attention, and experts behind a dense first layer."""
    vocabulary = _write_tokenizer(folder, context_tokens, CHAT_TEMPLATE, SPECIAL)
    config = _config(vocabulary, context_tokens) | _DEEPSEEK | _IDS
    _write_json(folder / "config.json", config)
    _write_bf16(folder / "model.safetensors", _deepseek_weights(vocabulary, seed))
    return folder


def _write_tokenizer(
    folder: Path, context_tokens: int, chat_template: str, special: Sequence[str]
) -> int:
    """All but the model itself; the size of the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "backend": "tokenizers",
            "bos_token": special[1],
            "eos_token": special[2],
            "model_max_length": context_tokens,
            "pad_token": special[2],
            "tokenizer_class": "TokenizersBackend",
            "unk_token": special[0],
        },
    )
    _write_json(folder / "generation_config.json", _IDS)
    return int(tokenizer.get_vocab_size())


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


def _tokenizer(special: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=special[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in special],
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
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, _HIDDEN)}
    norms = _block_norms()
    key_value = _KV_HEADS * _HEAD_DIM
    for layer in range(_LAYERS):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        shapes |= {
            f"{attention}.q_proj.weight": (_HIDDEN, _HIDDEN),
            f"{attention}.k_proj.weight": (key_value, _HIDDEN),
            f"{attention}.v_proj.weight": (key_value, _HIDDEN),
            f"{attention}.o_proj.weight": (_HIDDEN, _HIDDEN),
            **_gated(mlp, _INTERMEDIATE),
        }
    return _drawn(shapes, seed) | norms


def _deepseek_weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, _HIDDEN)}
    norms = _block_norms()
    for layer in range(_LAYERS):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        norms |= {
            f"{attention}.q_a_layernorm.weight": np.ones(_QUERY_RANK, np.float32),
            f"{attention}.kv_a_layernorm.weight": np.ones(_KV_RANK, np.float32),
        }
        shapes |= {
            f"{attention}.q_a_proj.weight": (_QUERY_RANK, _HIDDEN),
            f"{attention}.q_b_proj.weight": (_HEADS * (_NOPE + _ROPE), _QUERY_RANK),
            f"{attention}.kv_a_proj_with_mqa.weight": (_KV_RANK + _ROPE, _HIDDEN),
            f"{attention}.kv_b_proj.weight": (_HEADS * (_NOPE + _VALUE), _KV_RANK),
            f"{attention}.o_proj.weight": (_HIDDEN, _HEADS * _VALUE),
        }
        if layer == 0:
            shapes |= _gated(mlp, _INTERMEDIATE)
            continue
        shapes |= _gated(f"{mlp}.shared_experts", _EXPERT)
        shapes |= {
            f"{mlp}.gate.weight": (_EXPERTS, _HIDDEN),
            f"{mlp}.gate.e_score_correction_bias": (_EXPERTS,),
        }
        for expert in range(_EXPERTS):
            shapes |= _gated(f"{mlp}.experts.{expert}", _EXPERT)
    return _drawn(shapes, seed) | norms


def _gated(mlp: str, inner: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{mlp}.gate_proj.weight": (inner, _HIDDEN),
        f"{mlp}.up_proj.weight": (inner, _HIDDEN),
        f"{mlp}.down_proj.weight": (_HIDDEN, inner),
    }


def _block_norms() -> dict[str, np.ndarray]:
    names = ["model.norm.weight"]
    for layer in range(_LAYERS):
        names += [
            f"model.layers.{layer}.{name}.weight"
            for name in ("input_layernorm", "post_attention_layernorm")
        ]
    return {name: np.ones(_HIDDEN, np.float32) for name in names}


def _drawn(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    # Ten times the usual start in the layers: with less, the tied embedding repeats the last token.
    return {
        name: (random.standard_normal(shape) * (0.2 if "_proj" in name else 0.1)).astype(np.float32)
        for name, shape in shapes.items()
    }


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
