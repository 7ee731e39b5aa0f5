"""Fused computation of a frozen Llama-style decoder with LoRA over token trees.

It reads the weights of transformers' and PEFT's modules and replaces their forward pass. Models
with unsupported features are computed by the modules.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from modelmill_trainer.training.fused.adapted_product import (
    AdaptedLayer,
    Adapter,
    LoraLinearGroup,
    Outputs,
)
from modelmill_trainer.training.fused.block_attention import (
    AttentionBlock,
    BlockAttention,
    Heads,
    blocks_of,
)
from modelmill_trainer.training.fused.operations import NormLinear, ResidualLinear, SwigluLinear
from modelmill_trainer.training.lora_linear import ADAPTER, is_plain
from modelmill_trainer.training.token_tree import TokenTree

KINDS = ("llama", "qwen2")
"""Supported model types; others differ in norms, gates or attention windows."""
ROWS_MULTIPLE = 64
"""Passes are padded to a multiple of this: products of 495 rows take twice the time of 512."""


class FusedLayer:
    """One decoder layer: norms, four linear groups and attention."""

    def __init__(self, layer: Any, heads: Heads) -> None:
        attention, gated = layer.self_attn, layer.mlp
        self._heads = heads
        self._before_attention = layer.input_layernorm
        self._before_gated = layer.post_attention_layernorm
        self._seen = _product(attention.q_proj, attention.k_proj, attention.v_proj)
        self._outcome = _product(attention.o_proj)
        self._gate_and_up = _product(gated.gate_proj, gated.up_proj)
        self._down = _product(gated.down_proj)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        blocks: list[AttentionBlock],
        adapted: bool,
    ) -> Tensor:
        """(N, C) to (N, C)."""
        features = _normed(x, self._before_attention, self._seen, adapted)
        seen = _applied(BlockAttention, *features, *rotation, self._heads, blocks)
        outcome, down = self._outcome, self._down
        added = _applied(ResidualLinear, seen, x, outcome, adapted, *outcome.learned)
        both = _normed(added, self._before_gated, self._gate_and_up, adapted)
        layer: Tensor = _applied(SwigluLinear, *both, added, down, adapted, *down.learned)
        return layer


class FusedDecoder:
    """Computes the final hidden states of a token tree."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Use `fused`, which checks whether the model is supported."""
        decoder: Any = model.base_model
        config: Any = model.config
        width = decoder.layers[0].self_attn.head_dim
        scaling = decoder.layers[0].self_attn.scaling
        heads = Heads(config.num_attention_heads, config.num_key_value_heads, width, scaling)
        self._embed = decoder.embed_tokens
        self._positions = decoder.rotary_emb
        self._norm = decoder.norm
        self._layers = [FusedLayer(layer, heads) for layer in decoder.layers]

    def hidden_N_C(self, tree: TokenTree, *, adapted: bool) -> Tensor:
        """(N, C) final hidden states, equal to those of transformers' base model for each row.

        Args:
            adapted: Whether LoRA is applied.
        """
        idle = [0] * (-len(tree) % ROWS_MULTIPLE)
        x: Tensor = self._embed(torch.tensor(tree.ids + idle))
        blocks = blocks_of(tree, x.dtype)
        rotation = self._rotation(x, tree.positions + idle)
        for layer in self._layers:
            x = layer.forward(x, rotation, blocks, adapted)
        outcome: Tensor = self._norm(x[: len(tree)])
        return outcome

    def _rotation(self, x: Tensor, positions: list[int]) -> tuple[Tensor, Tensor]:
        cos, sin = self._positions(x, position_ids=torch.tensor([positions]))
        half = cos.shape[-1] // 2
        return cos[0, :, None, :half], sin[0, :, None, :half]


def fused(model: PreTrainedModel) -> FusedDecoder | None:
    """The fused form of `model` with its LoRA; None if the model is not supported."""
    return FusedDecoder(model) if _is_known(model) else None


def _is_known(model: PreTrainedModel) -> bool:
    config: Any = model.config
    if config.model_type not in KINDS or config.hidden_act != "silu":
        return False
    if config.attention_dropout or getattr(config, "use_sliding_window", False):
        return False
    if model.device.type != "cpu":
        return False
    linear = [layer for layer in model.modules() if _is_linear(layer)]
    learning = {id(one) for one in model.parameters() if one.requires_grad}
    adapters = {id(one) for layer in linear for one in _adapter_weights(layer)}
    return learning <= adapters


def _is_linear(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear or (isinstance(layer, LoraLayer) and is_plain(layer))


def _adapter_weights(layer: Any) -> list[Tensor]:
    if not hasattr(layer, "lora_A"):
        return []
    return [layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]


def _normed(x: Tensor, normed: Any, product: LoraLinearGroup, adapted: bool) -> Outputs:
    arguments = (normed.weight, normed.variance_epsilon, product, adapted)
    outputs: Outputs = _applied(NormLinear, x, *arguments, *product.learned)
    return outputs


def _applied(operation: Any, *arguments: Any) -> Any:
    """Call `Function.apply`, which is untyped in torch."""
    return operation.apply(*arguments)


def _product(*layers: Any) -> LoraLinearGroup:
    return LoraLinearGroup([_adapted(layer) for layer in layers])


def _adapted(layer: Any) -> AdaptedLayer:
    if not hasattr(layer, "base_layer"):
        return AdaptedLayer(layer.weight, layer.bias, None)
    down, up = _adapter_weights(layer)
    adapter = Adapter(down, up, layer.scaling[ADAPTER])
    return AdaptedLayer(layer.base_layer.weight, layer.base_layer.bias, adapter)
