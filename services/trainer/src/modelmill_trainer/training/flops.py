"""Counts FLOPs of training, and measures the machine's peak FLOP/s."""

import time
from dataclasses import dataclass

import torch
from torch import nn

from modelmill_trainer.training.four_bits import weight_count
from modelmill_trainer.training.token_tree import TokenTree

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = 2, 2, 2
"""FLOPs per weight and token: one multiplication and one addition."""
ATTENTION_FORWARD = 4
"""FLOPs per token pair and head feature: scores, and weighted values."""
ATTENTION_PASSES = 3
"""Forward plus backward pass, which has two products for each one of the forward pass."""
PRODUCT_SIZE, PRODUCTS = 2048, 8


@dataclass(frozen=True)
class PassFlops:
    """FLOPs of a model's matrix products that are necessary; other operations are neglected.

    Shared prefixes count once, attention is causal, the head counts for predicted tokens only, and
    a mixture of experts counts the routed experts. Frozen weights need no weight gradient.
    """

    frozen_weights: float
    trained_weights: float
    """Frozen and trained weights exclude the output head."""
    head_weights: float
    head_trained: bool
    attention_features: int
    """Heads times head width, summed over all layers."""

    @classmethod
    def of(cls, model: nn.Module, head: nn.Module, attention_features: int) -> "PassFlops":
        """Count the weights of `model`, adapters included.

        Args:
            head: Output head.
            attention_features: Heads times head width, summed over all layers.
        """
        config = getattr(model, "config", None)
        share = _expert_share(config)
        head_weight = head.weight
        counted: dict[bool, float] = {True: 0.0, False: 0.0}
        embeddings = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
        for weight in model.parameters():
            if weight.dim() < 2 or id(weight) == id(head_weight) or id(weight) in embeddings:
                continue
            counted[weight.requires_grad] += weight_count(weight) * (
                share if weight.dim() == 3 else 1.0
            )
        return cls(
            frozen_weights=counted[False],
            trained_weights=counted[True],
            head_weights=float(head_weight.numel()),  # type: ignore[operator]
            head_trained=bool(head_weight.requires_grad),
            attention_features=attention_features,
        )

    def flops(self, tree: TokenTree, predicting: int, *, backward: bool) -> float:
        """FLOPs of a pass over `tree` with logits for `predicting` nodes."""
        frozen = FORWARD + (INPUT_GRADIENT if backward else 0)
        trained = frozen + (WEIGHT_GRADIENT if backward else 0)
        layers = frozen * self.frozen_weights + trained * self.trained_weights
        head = (trained if self.head_trained else frozen) * self.head_weights
        pairs = sum(tree.positions) + len(tree)
        attention = ATTENTION_FORWARD * (ATTENTION_PASSES if backward else 1)
        return layers * len(tree) + head * predicting + attention * self.attention_features * pairs


class FlopCounter:
    """Accumulates the FLOPs of a model's passes."""

    def __init__(self, needed: PassFlops) -> None:
        self._needed = needed
        self.flops = 0.0

    def add(self, tree: TokenTree, predicting: int) -> None:
        """Add a pass, with its backward pass if gradients are enabled."""
        self.flops += self._needed.flops(tree, predicting, backward=torch.is_grad_enabled())


def peak_flops(dtype: torch.dtype) -> float:
    """Measured peak FLOP/s of this machine: the best of several large matrix products."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Constant values, as random ones would advance the run's generators.
    left = torch.full((PRODUCT_SIZE, PRODUCT_SIZE), 0.5, dtype=dtype, device=device)
    out = torch.mm(left, left)
    best = float("inf")
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        torch.mm(left, left, out=out)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2.0 * PRODUCT_SIZE**3 / best


def _expert_share(config: object) -> float:
    """Share of experts that a token is routed to."""
    chosen = getattr(config, "num_experts_per_tok", None)
    experts = getattr(config, "n_routed_experts", None) or getattr(config, "num_experts", None)
    return chosen / experts if chosen and experts else 1.0
