"""Configurations and random weights of the tiny models, with numpy alone."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_HIDDEN = 64
_INTERMEDIATE = 128
_LAYERS = 2
_HEADS = 4
_KV_HEADS = 2
_HEAD_DIM = _HIDDEN // _HEADS
TOKEN_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
_NOPE, _ROPE, _VALUE = 16, 8, 16
_QUERY_RANK, _KV_RANK = 32, 24
_EXPERTS, _EXPERT = 8, 128
"""On processors with AMX OpenVINO 2026.4 refuses experts of 32 columns, and dies of those of 64."""
DEEPSEEK_V3: dict[str, object] = {
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
DEEPSEEK_V2: dict[str, object] = DEEPSEEK_V3 | {
    "architectures": ["DeepseekV2ForCausalLM"],
    "model_type": "deepseek_v2",
    "norm_topk_prob": False,
    # As the small model of that family: queries are not compressed, and experts have no groups.
    "q_lora_rank": None,
    "topk_method": "greedy",
}
QWEN_HEAD_DIM = 32
"""Not hidden size by heads, as in Qwen 3."""


def llama_config(vocabulary: int, context_tokens: int) -> dict[str, object]:
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


def llama_weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    return _drawn(_plain_shapes(vocabulary, _HEAD_DIM), seed) | _block_norms()


def _plain_shapes(vocabulary: int, head_dim: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, _HIDDEN)}
    query, key_value = _HEADS * head_dim, _KV_HEADS * head_dim
    for layer in range(_LAYERS):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        shapes |= {
            f"{attention}.q_proj.weight": (query, _HIDDEN),
            f"{attention}.k_proj.weight": (key_value, _HIDDEN),
            f"{attention}.v_proj.weight": (key_value, _HIDDEN),
            f"{attention}.o_proj.weight": (_HIDDEN, query),
            **_gated(mlp, _INTERMEDIATE),
        }
    return shapes


def qwen_weights(vocabulary: int, seed: int, *, version: int, tied: bool) -> dict[str, np.ndarray]:
    head_dim = QWEN_HEAD_DIM if version == 3 else _HEAD_DIM
    shapes, norms = _plain_shapes(vocabulary, head_dim), _block_norms()
    for layer in range(_LAYERS):
        attention = f"model.layers.{layer}.self_attn"
        if version == 3:
            norms |= {
                f"{attention}.{name}.weight": np.ones(head_dim, np.float32)
                for name in ("q_norm", "k_norm")
            }
        else:
            widths = {"q_proj": _HEADS, "k_proj": _KV_HEADS, "v_proj": _KV_HEADS}
            shapes |= {f"{attention}.{n}.bias": (heads * head_dim,) for n, heads in widths.items()}
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, _HIDDEN)
    return _drawn(shapes, seed) | norms


def deepseek_weights(vocabulary: int, seed: int, *, is_v3: bool) -> dict[str, np.ndarray]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, _HIDDEN)}
    norms = _block_norms()
    for layer in range(_LAYERS):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        norms[f"{attention}.kv_a_layernorm.weight"] = np.ones(_KV_RANK, np.float32)
        query = _HEADS * (_NOPE + _ROPE)
        if is_v3:
            norms[f"{attention}.q_a_layernorm.weight"] = np.ones(_QUERY_RANK, np.float32)
            shapes[f"{attention}.q_a_proj.weight"] = (_QUERY_RANK, _HIDDEN)
            shapes[f"{attention}.q_b_proj.weight"] = (query, _QUERY_RANK)
        else:
            shapes[f"{attention}.q_proj.weight"] = (query, _HIDDEN)
        shapes |= {
            f"{attention}.kv_a_proj_with_mqa.weight": (_KV_RANK + _ROPE, _HIDDEN),
            f"{attention}.kv_b_proj.weight": (_HEADS * (_NOPE + _VALUE), _KV_RANK),
            f"{attention}.o_proj.weight": (_HIDDEN, _HEADS * _VALUE),
        }
        if layer == 0:
            shapes |= _gated(mlp, _INTERMEDIATE)
            continue
        shapes |= _gated(f"{mlp}.shared_experts", _EXPERT)
        shapes[f"{mlp}.gate.weight"] = (_EXPERTS, _HIDDEN)
        if is_v3:
            shapes[f"{mlp}.gate.e_score_correction_bias"] = (_EXPERTS,)
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


def write_bf16(path: Path, weights: dict[str, np.ndarray]) -> None:
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
