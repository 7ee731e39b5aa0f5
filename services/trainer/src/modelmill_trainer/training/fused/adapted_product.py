"""Frozen linear layers with LoRA that share an input, forward and backward.

The down projections of all adapters are concatenated, so that one product serves all layers in each
direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Outputs = tuple[Tensor, ...]
"""(N, O) output of each layer."""


@dataclass(frozen=True)
class Adapter:
    """LoRA weights; x A' B' s is added to the layer's output."""

    down: Tensor
    up: Tensor
    scaling: float


@dataclass(frozen=True)
class AdaptedLayer:
    """A frozen linear layer y = x W' + b, with its LoRA weights."""

    weight: Tensor
    bias: Tensor | None
    adapter: Adapter | None


class StackedLora:
    """LoRA weights of several layers, stacked and converted to the compute dtype."""

    def __init__(self, adapters: Sequence[Adapter | None], dtype: torch.dtype) -> None:
        there = [one for one in adapters if one is not None]
        self.down = torch.cat([one.down for one in there]).to(dtype)
        self.ups = [(one.up * one.scaling).to(dtype) if one else None for one in adapters]
        self.parts: list[slice] = []
        """Slice of the low-rank features per layer; empty without an adapter."""
        at = 0
        for one in adapters:
            rank = len(one.down) if one else 0
            self.parts.append(slice(at, at + rank))
            at += rank


class LoraLinearGroup:
    """Linear layers with LoRA on a common input."""

    def __init__(self, layers: Sequence[AdaptedLayer]) -> None:
        self._layers = tuple(layers)
        self._adapters = tuple(layer.adapter for layer in layers)

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """Trainable weights: down and up projection of each adapter."""
        return tuple(it for one in self._adapters if one for it in (one.down, one.up))

    def low_rank(self, adapted: bool) -> StackedLora | None:
        """The current LoRA weights, stacked; None if the base alone is computed."""
        if not adapted or not self.learned:
            return None
        return StackedLora(self._adapters, self._layers[0].weight.dtype)

    def forward(self, rows: Tensor, low: StackedLora | None) -> tuple[Outputs, Tensor | None]:
        """Output of each layer, and the low-rank features that `backward` needs."""
        outputs = tuple(functional.linear(rows, it.weight, it.bias) for it in self._layers)
        if low is None:
            return outputs, None
        narrow = rows @ low.down.t()
        for output, up, part in zip(outputs, low.ups, low.parts, strict=True):
            if up is not None:
                output.addmm_(narrow[:, part], up.t())
        return outputs, narrow

    def backward(
        self, gradients: Outputs, rows: Tensor, narrow: Tensor | None, low: StackedLora | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Gradients of the input, and of `learned` in float32.

        Args:
            rows: The input of `forward`; it may be recomputed.
        """
        first, *others = zip(gradients, self._layers, strict=True)
        of_rows = first[0] @ first[1].weight
        for gradient, layer in others:
            of_rows.addmm_(gradient, layer.weight)
        if low is None or narrow is None:
            return of_rows, [None] * len(self.learned)
        of_narrow = torch.empty_like(narrow)
        ups: list[Tensor] = []
        for gradient, one, up, part in zip(
            gradients, self._adapters, low.ups, low.parts, strict=True
        ):
            if one is not None and up is not None:
                of_narrow[:, part] = gradient @ up
                ups.append((gradient.t() @ narrow[:, part]).float() * one.scaling)
        of_rows.addmm_(of_narrow, low.down)
        down = (of_narrow.t() @ rows).float()
        downs = [down[part] for part in low.parts if part.start < part.stop]
        return of_rows, [it for pair in zip(downs, ups, strict=True) for it in pair]
