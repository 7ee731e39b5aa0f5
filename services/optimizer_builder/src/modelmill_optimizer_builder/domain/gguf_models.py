"""Which models GGUF is written of, and the hyper-parameters that a file says of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelmill_optimizer_builder.domain.rotary_positions import (
    ROPE_DEFAULT,
    Config,
    rope_of,
    rope_type_of,
)

Value = int | float | str
ROPE_LINEAR, ROPE_LLAMA3 = "linear", "llama3"
EXACT = {"hidden_act": "silu"}
"""What llama.cpp computes for these architectures, whatever the config says."""


@dataclass(frozen=True)
class LlamaCppArchitecture:
    """An architecture as llama.cpp names it."""

    name: str
    rotates_pairs: bool
    """Whether rotary positions turn neighbouring values, so that queries and keys are permuted."""
    rope_types: tuple[str, ...] = (ROPE_DEFAULT, ROPE_LINEAR)


ARCHITECTURES: Mapping[str, LlamaCppArchitecture] = {
    "llama": LlamaCppArchitecture("llama", True, (ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3)),
    "qwen2": LlamaCppArchitecture("qwen2", False),
    "qwen3": LlamaCppArchitecture("qwen3", False),
}
"""By the model_type of config.json."""


def gguf_refusal(config: Config) -> str:
    """Why GGUF is not written of a model; empty if it is."""
    architecture = ARCHITECTURES.get(str(config.get("model_type", "")))
    if architecture is None:
        return f"GGUF is written of {', '.join(ARCHITECTURES)} alone"
    rules: tuple[tuple[Callable[[Config], bool], str], ...] = (
        (
            lambda each: rope_type_of(each) not in architecture.rope_types,
            f"llama.cpp has no rotary positions of type {rope_type_of(config)!r} for it",
        ),
        (_has_window, "llama.cpp knows no attention window of it"),
        (
            lambda each: each.get("partial_rotary_factor", 1) not in (None, 1),
            "its rotary positions turn a part of each head",
        ),
        (
            lambda each: any(each.get(name, value) != value for name, value in EXACT.items()),
            f"its activation is {config.get('hidden_act')!r}, and llama.cpp computes silu",
        ),
    )
    return next((reason for is_so, reason in rules if is_so(config)), "")


def _has_window(config: Config) -> bool:
    uses = config.get("use_sliding_window", config.get("model_type") == "llama")
    return bool(uses and config.get("sliding_window"))


def head_size(config: Config) -> int:
    """Width of one attention head."""
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return int(size)


def hyper_parameters(config: Config) -> dict[str, Value]:
    """Keys and values of a file's header that follow from config.json."""
    rope, heads = rope_of(config), int(config["num_attention_heads"])
    said: dict[str, Value] = {
        "block_count": int(config["num_hidden_layers"]),
        "context_length": int(config["max_position_embeddings"]),
        "embedding_length": int(config["hidden_size"]),
        "feed_forward_length": int(config["intermediate_size"]),
        "attention.head_count": heads,
        "attention.head_count_kv": int(config.get("num_key_value_heads") or heads),
        "attention.key_length": head_size(config),
        "attention.value_length": head_size(config),
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "rope.dimension_count": head_size(config),
        "rope.freq_base": float(rope.get("rope_theta", 10_000.0)),
        "vocab_size": int(config["vocab_size"]),
    }
    if rope_type_of(config) == ROPE_LINEAR:
        said |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    name = ARCHITECTURES[str(config["model_type"])].name
    return {f"{name}.{key}": value for key, value in said.items()}
