"""Frozen layers that read the same rows, with what adapters add to them, forward and backward.

The narrow parts of the adapters lie beside each other: one product takes the rows to all of them,
and one brings their gradients back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Outputs = tuple[Tensor, ...]
"""(N, O) of each layer."""


@dataclass(frozen=True)
class Adapter:
    """x A' B' s, added to what a layer makes of x."""

    down: Tensor
    up: Tensor
    scaling: float


@dataclass(frozen=True)
class AdaptedLayer:
    """y = x W' + b; neither W nor b learns."""

    weight: Tensor
    bias: Tensor | None
    adapter: Adapter | None


class LowRank:
    """All adapters of some layers in the format that these are computed in."""

    def __init__(self, adapters: Sequence[Adapter | None], dtype: torch.dtype) -> None:
        there = [one for one in adapters if one is not None]
        self.down = torch.cat([one.down for one in there]).to(dtype)
        self.ups = [(one.up * one.scaling).to(dtype) if one else None for one in adapters]
        self.parts: list[slice] = []
        """Of the narrow features those of each layer; none where it has no adapter."""
        at = 0
        for one in adapters:
            rank = len(one.down) if one else 0
            self.parts.append(slice(at, at + rank))
            at += rank


class AdaptedProduct:
    """What layers make of the rows that they all read."""

    def __init__(self, layers: Sequence[AdaptedLayer]) -> None:
        self._layers = tuple(layers)
        self._adapters = tuple(layer.adapter for layer in layers)

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """The adapters' weights: down and up of each."""
        return tuple(it for one in self._adapters if one for it in (one.down, one.up))

    def low_rank(self, adapted: bool) -> LowRank | None:
        """The adapters as they are now; none when the base alone is asked."""
        if not adapted or not self.learned:
            return None
        return LowRank(self._adapters, self._layers[0].weight.dtype)

    def forward(self, rows: Tensor, low: LowRank | None) -> tuple[Outputs, Tensor | None]:
        """What each layer makes of the rows, and the narrow rows that `backward` asks for."""
        outputs = tuple(functional.linear(rows, it.weight, it.bias) for it in self._layers)
        if low is None:
            return outputs, None
        narrow = rows @ low.down.t()
        for output, up, part in zip(outputs, low.ups, low.parts, strict=True):
            if up is not None:
                output.addmm_(narrow[:, part], up.t())
        return outputs, narrow

    def backward(
        self, gradients: Outputs, rows: Tensor, narrow: Tensor | None, low: LowRank | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The gradients of the rows, and of `learned`, in float32.

        Args:
            rows: What `forward` was given; it may be computed anew.
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
