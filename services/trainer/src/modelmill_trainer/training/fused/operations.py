"""Autograd functions of a decoder layer around its attention.

To save memory the backward pass recomputes everything that needs no matrix product. RMSNorm: Zhang
and Sennrich 2019; SwiGLU: Shazeer 2020.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from modelmill_trainer.training.fused.adapted_product import LoraLinearGroup, Outputs


def norm(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """RMSNorm of x, and 1 / rms(x) in float32, (N, 1)."""
    squared = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square_()
    inverse = squared.div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return _scaled(x, inverse, weight), inverse


def _scaled(x: Tensor, inverse: Tensor, weight: Tensor) -> Tensor:
    # Rounded before the multiplication, as in the models' own implementation.
    return (x.float() * inverse).to(x.dtype).mul_(weight)


def _norm_backward(gradient: Tensor, x: Tensor, inverse: Tensor, weight: Tensor) -> Tensor:
    unit = x.float() * inverse
    gradient = (gradient * weight).float()
    along = (gradient * unit).mean(dim=-1, keepdim=True)
    return gradient.addcmul_(unit, along, value=-1).mul_(inverse).to(x.dtype)


class NormLinear(torch.autograd.Function):
    """RMSNorm followed by linear layers: (N, C) to (N, O) of each layer."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        epsilon: float,
        product: LoraLinearGroup,
        adapted: bool,
        *_learned: Tensor,
    ) -> Outputs:
        low = product.low_rank(adapted)
        rows, inverse = norm(x, weight, epsilon)
        outputs, narrow = product.forward(rows, low)
        ctx.save_for_backward(x, inverse, weight, narrow)
        ctx.product, ctx.low = product, low
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, inverse, weight, narrow = ctx.saved_tensors
        rows = _scaled(x, inverse, weight)
        of_rows, of_learned = ctx.product.backward(gradients, rows, narrow, ctx.low)
        of_x = _norm_backward(of_rows, x, inverse, weight) if ctx.needs_input_grad[0] else None
        return of_x, None, None, None, None, *of_learned


class ResidualLinear(torch.autograd.Function):
    """Linear layer plus residual: (N, I) and (N, O) to (N, O)."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        residual: Tensor,
        product: LoraLinearGroup,
        adapted: bool,
        *_learned: Tensor,
    ) -> Tensor:
        low = product.low_rank(adapted)
        (output,), narrow = product.forward(rows, low)
        ctx.save_for_backward(rows, narrow)
        ctx.product, ctx.low = product, low
        return output.add_(residual)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        rows, narrow = ctx.saved_tensors
        of_rows, of_learned = ctx.product.backward(gradients, rows, narrow, ctx.low)
        return of_rows, gradients[0], None, None, *of_learned


class SwigluLinear(torch.autograd.Function):
    """SwiGLU, linear layer and residual: gate and up (N, F), residual (N, O) to (N, O)."""

    @staticmethod
    def forward(
        ctx: Any,
        gate: Tensor,
        up: Tensor,
        residual: Tensor,
        product: LoraLinearGroup,
        adapted: bool,
        *_learned: Tensor,
    ) -> Tensor:
        low = product.low_rank(adapted)
        (output,), narrow = product.forward(functional.silu(gate).mul_(up), low)
        ctx.save_for_backward(gate, up, narrow)
        ctx.product, ctx.low = product, low
        return output.add_(residual)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gate, up, narrow = ctx.saved_tensors
        opened = functional.silu(gate)
        of_rows, of_learned = ctx.product.backward(gradients, opened * up, narrow, ctx.low)
        of_up = opened.mul_(of_rows)
        of_gate = torch.ops.aten.silu_backward(of_rows.mul_(up), gate)
        return of_gate, of_up, gradients[0], None, None, *of_learned
