"""Structured pruning: how many layers, attention heads and MLP columns stay, and which.

Shapes are uniform: each layer keeps as many heads and columns as any other, since transformers,
vLLM, OpenVINO and ONNX load no others. Heads go in whole key-value groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelmill_optimizer_builder.domain.group_size import text_config

MODEL_TYPES = (
    *("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2"),
    *("gemma3_text", "smollm3", "granite"),
)
"""Types whose layers have the parts that are cut: `q_proj`, `k_proj`, `v_proj`, `o_proj`,
`gate_proj`, `up_proj` and `down_proj`, and no norm over all heads."""
DIVIDED_TYPES = ("llama", "gemma2", "gemma3_text")
"""Whose configs transformers refuses unless heads divide the hidden size."""
COLUMN_STEP = 32
"""Columns are kept in multiples of it, so that groups of int4 weights fit."""
ENDS = 2
"""Layers that always stay: the first and the last."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Pruning:
    """What an order takes away."""

    heads: float = 0.0
    """Share of the key-value groups, with their attention heads."""
    mlp: float = 0.0
    """Share of the MLP's columns."""
    layers: int = 0
    """How many layers."""

    @classmethod
    def of(cls, fields: Mapping[str, Any] | None) -> "Pruning | None":
        """From plain values; None from none."""
        return None if fields is None else cls(**fields)


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a model."""

    hidden: int
    layers: int
    groups: int
    """Key-value groups of a layer."""
    heads_a_group: int
    head_dim: int
    columns: int
    """Of the MLP."""

    @property
    def heads(self) -> int:
        """Attention heads of a layer."""
        return self.groups * self.heads_a_group

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "ModelShape":
        """From a config.json."""
        said = text_config(config)
        heads = said["num_attention_heads"]
        groups = said.get("num_key_value_heads") or heads
        return cls(
            hidden=said["hidden_size"],
            layers=said["num_hidden_layers"],
            groups=groups,
            heads_a_group=heads // groups,
            head_dim=said.get("head_dim") or said["hidden_size"] // heads,
            columns=said["intermediate_size"],
        )


@dataclass(frozen=True)
class Importance:
    """How much each part contributes, by layer; only the order within a row counts."""

    layers: Scores
    """(L,)"""
    groups: Scores
    """(L, G)"""
    columns: Scores
    """(L, C)"""


@dataclass(frozen=True)
class Kept:
    """What stays, in its order."""

    layers: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    """Of each layer that stays."""
    columns: tuple[tuple[int, ...], ...]


class NotPrunableError(ValueError):
    """The model cannot be cut so; the message says why, and what could be."""


def pruning_errors(pruning: Pruning | None, *, is_pruned_form: bool) -> list[str]:
    """Errors of an order that need no lookup."""
    if pruning is None:
        return ["target_form pruned needs pruning: heads, mlp or layers"] if is_pruned_form else []
    if not is_pruned_form:
        return ["pruning has no meaning without target_form pruned"]
    errors = [
        f"pruning.{name} must be at least 0 and below 1, got {share:g}"
        for name, share in (("heads", pruning.heads), ("mlp", pruning.mlp))
        if not isfinite(share) or not 0 <= share < 1
    ]
    if not (pruning.heads or pruning.mlp or pruning.layers):
        errors.append("pruning takes nothing away. Give heads, mlp or layers")
    return errors


def pruning_refusal(config: Mapping[str, Any]) -> str:
    """Why nothing can be cut from a model of that config.json; empty if something can."""
    if config.get("model_type") in MODEL_TYPES:
        return ""
    return f"its layers have other parts. Types that are pruned: {', '.join(MODEL_TYPES)}"


def planned_shape(config: Mapping[str, Any], pruning: Pruning) -> ModelShape:
    """The shape that an order asks for.

    Raises:
        NotPrunableError: No such shape is loaded by transformers, or nothing would go or stay.
    """
    shape = ModelShape.of(config)
    layers = shape.layers - pruning.layers
    if layers < ENDS:
        raise NotPrunableError(
            f"of {shape.layers} layers at most {max(shape.layers - ENDS, 0)} can go, and pruning"
            f".layers is {pruning.layers}"
        )
    planned = replace(shape, layers=layers)
    if pruning.heads:
        planned = replace(planned, groups=_kept_groups(config, shape, pruning.heads))
    if pruning.mlp:
        planned = replace(planned, columns=_kept_columns(shape, pruning.mlp))
    return planned


def choose(importance: Importance, planned: ModelShape) -> Kept:
    """The most important parts, as many as planned."""
    layers = importance.layers.copy()
    layers[[0, -1]] = np.inf
    kept = _largest(layers, planned.layers)
    return Kept(
        layers=kept,
        groups=tuple(_largest(importance.groups[each], planned.groups) for each in kept),
        columns=tuple(_largest(importance.columns[each], planned.columns) for each in kept),
    )


def _kept_groups(config: Mapping[str, Any], shape: ModelShape, share: float) -> int:
    possible = [count for count in range(1, shape.groups) if _is_loaded(config, shape, count)]
    heads = ", ".join(str(count * shape.heads_a_group) for count in possible)
    kept = shape.groups - round(share * shape.groups)
    if kept in possible:
        return kept
    could = f"Heads that could stay: {heads}" if possible else "No count could stay"
    raise NotPrunableError(
        f"pruning.heads {share:g} of {shape.groups} key-value groups ({shape.heads} heads) leaves"
        f" {kept * shape.heads_a_group} heads; {_rule(config, shape)}. {could}"
    )


def _rule(config: Mapping[str, Any], shape: ModelShape) -> str:
    whole = "groups stay or go whole, at least one of each"
    if config.get("model_type") not in DIVIDED_TYPES:
        return whole
    return f"{whole}, and heads must divide the hidden size {shape.hidden}"


def _is_loaded(config: Mapping[str, Any], shape: ModelShape, groups: int) -> bool:
    is_divided = shape.hidden % (groups * shape.heads_a_group) == 0
    return is_divided or config.get("model_type") not in DIVIDED_TYPES


def _kept_columns(shape: ModelShape, share: float) -> int:
    kept = round(shape.columns * (1 - share) / COLUMN_STEP) * COLUMN_STEP
    if not 0 < kept < shape.columns:
        raise NotPrunableError(
            f"pruning.mlp {share:g} of {shape.columns} columns leaves {kept}: columns go and stay"
            f" in multiples of {COLUMN_STEP}"
        )
    return kept


def _largest(scores: Scores, count: int) -> tuple[int, ...]:
    """Places of the largest scores, in their order; of equal ones the first."""
    order: Sequence[int] = np.argsort(-scores, kind="stable")[:count].tolist()
    return tuple(sorted(order))
