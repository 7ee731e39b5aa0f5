"""Operations that training needs, and how many this machine does in a second at best."""

import time
from dataclasses import dataclass

import torch
from torch import nn

from modelmill_trainer.training.token_tree import TokenTree

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = 2, 2, 2
"""Operations for each weight and token: a product is a multiplication and an addition."""
ATTENTION_FORWARD = 4
"""For each pair of tokens and feature of a head: scores, and weighted values."""
ATTENTION_PASSES = 3
"""A backward pass has two products where the forward pass has one."""
PRODUCT_SIZE, PRODUCTS = 2048, 8


@dataclass(frozen=True)
class NeededWork:
    """What one token costs in the matrix products of a model; all else is left out.

    Only what is needed counts: what rows begin with alike is computed once, a token attends to
    those before it alone, the head is computed where a token is predicted, and of a mixture only
    the experts that a token is sent to. Frozen weights need no gradient of their own.
    """

    frozen_weights: float
    trained_weights: float
    """Both without the head."""
    head_weights: float
    head_trained: bool
    attention_features: int
    """Heads times their width, over all layers."""

    @classmethod
    def of(cls, model: nn.Module, head: nn.Module, attention_features: int) -> "NeededWork":
        """Count the weights of `model`, adapters included.

        Args:
            head: Scores the words.
            attention_features: Heads times their width, over all layers.
        """
        config = getattr(model, "config", None)
        share = _expert_share(config)
        head_weight = head.weight
        counted: dict[bool, float] = {True: 0.0, False: 0.0}
        embeddings = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
        for weight in model.parameters():
            if weight.dim() < 2 or id(weight) == id(head_weight) or id(weight) in embeddings:
                continue
            counted[weight.requires_grad] += weight.numel() * (share if weight.dim() == 3 else 1.0)
        return cls(
            frozen_weights=counted[False],
            trained_weights=counted[True],
            head_weights=float(head_weight.numel()),  # type: ignore[operator]
            head_trained=bool(head_weight.requires_grad),
            attention_features=attention_features,
        )

    def flops(self, tree: TokenTree, predicting: int, *, backward: bool) -> float:
        """Of a pass over `tree` that predicts after so many of its nodes."""
        frozen = FORWARD + (INPUT_GRADIENT if backward else 0)
        trained = frozen + (WEIGHT_GRADIENT if backward else 0)
        layers = frozen * self.frozen_weights + trained * self.trained_weights
        head = (trained if self.head_trained else frozen) * self.head_weights
        pairs = sum(tree.positions) + len(tree)
        attention = ATTENTION_FORWARD * (ATTENTION_PASSES if backward else 1)
        return layers * len(tree) + head * predicting + attention * self.attention_features * pairs


class WorkMeter:
    """Adds up what a model's passes needed."""

    def __init__(self, needed: NeededWork) -> None:
        self._needed = needed
        self.flops = 0.0

    def add(self, tree: TokenTree, predicting: int) -> None:
        """A pass; with its backward pass where gradients are kept."""
        self.flops += self._needed.flops(tree, predicting, backward=torch.is_grad_enabled())


def peak_flops(dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product of this machine: the best of some."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Not random: the generators belong to the run.
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
    """The share of a mixture's experts that a token is sent to."""
    chosen = getattr(config, "num_experts_per_tok", None)
    experts = getattr(config, "n_routed_experts", None) or getattr(config, "num_experts", None)
    return chosen / experts if chosen and experts else 1.0
