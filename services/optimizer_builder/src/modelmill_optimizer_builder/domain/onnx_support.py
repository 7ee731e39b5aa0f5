"""Which models the builder of ONNX Runtime GenAI can write for a CPU, and why not others."""

from collections.abc import Mapping
from typing import Any

from modelmill_optimizer_builder.domain.group_size import (
    group_size_refusal,
    is_mixture_of_experts,
    text_config,
)
from modelmill_optimizer_builder.domain.rotary_positions import (
    ROPE_DEFAULT,
    ROPE_LONG,
    rope_of,
    rope_type_of,
)

ARCHITECTURES = frozenset(
    (
        "Gemma2ForCausalLM",
        "GemmaForCausalLM",
        "GraniteForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "OlmoForCausalLM",
        "Phi3ForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "SmolLM3ForCausalLM",
    )
)
"""Decoders of text, as config.json names them, without code of their own."""
PHI3, PHI3_POSITIONS = "Phi3ForCausalLM", 4096
"""With the positions that its configurations have where they say none."""
LATENT = "kv_lora_rank"
"""Key of configurations whose attention has latent keys and values (MLA)."""


def onnx_refusal(config: Mapping[str, Any]) -> str:
    """Why a model cannot be written as ONNX; empty if it can."""
    if is_mixture_of_experts(config):
        return "it is a mixture of experts, which the ONNX builder cannot write for a CPU"
    if text_config(config).get(LATENT):
        return "it has latent attention (MLA), which the ONNX builder cannot write"
    named = config.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else "nothing"
    if name not in ARCHITECTURES:
        return f"config.json names {name[:64]} as its architecture, which is not among those tried"
    return _phi3_refusal(config) if name == PHI3 else ""


def _phi3_refusal(config: Mapping[str, Any]) -> str:
    """By its numbers of positions alone the builder decides how a Phi 3 computes them."""
    names = ("max_position_embeddings", "original_max_position_embeddings")
    longest, first = (config.get(name, PHI3_POSITIONS) for name in names)
    wanted, found = ROPE_DEFAULT if longest == first else ROPE_LONG, rope_type_of(config)
    if found != wanted:
        return (
            f"of {names[0]} {longest} and {names[1]} {first} the ONNX builder makes rotary "
            f"positions of type {wanted}, and those of this model are {found[:64]}"
        )
    if found == ROPE_LONG and "type" not in rope_of(config):
        return "its rotary positions have no key type in config.json, which the ONNX builder reads"
    return ""


def onnx_blocks_refusal(config: Mapping[str, Any]) -> str:
    """The same of a model with weights in blocks."""
    return onnx_refusal(config) or group_size_refusal(config)
