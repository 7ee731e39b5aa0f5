"""Linear layers of a frozen base in four bits (NF4), for QLoRA (Dettmers et al. 2023).

bitsandbytes packs the weights, and the scales of their blocks in eight bits (double quantisation).
A product needs them in the compute dtype: they are expanded for it, once forward and once backward,
and then dropped.
"""

import logging
from types import MethodType
from typing import Any

import torch
from modelmill_jobs.child import ChildFailure
from torch import Tensor, nn
from transformers import BitsAndBytesConfig


def nf4_config(dtype: torch.dtype) -> BitsAndBytesConfig:
    """How transformers is to load the base.

    Args:
        dtype: Compute dtype.

    Raises:
        ChildFailure: bitsandbytes is not installed.
    """
    # It warns of a kernel of its own for processors, which the products here do without.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ChildFailure(
            "BITSANDBYTES_NOT_INSTALLED",
            "method qlora needs bitsandbytes, which this worker lacks",
            "Install it beside the trainer, or use method lora.",
        ) from error
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def use_expanded_products(model: nn.Module) -> None:
    """Replace the forward pass of four-bit layers by products with the expanded weights.

    That of bitsandbytes repacks the weights on processors with AVX-512 when a model is evaluated,
    and then multiplies otherwise than in training; a resumed run would differ in bits.
    """
    for layer in model.modules():
        if is_four_bit(layer):
            layer.forward = MethodType(_forward, layer)


def is_four_bit(layer: nn.Module) -> bool:
    """Whether bitsandbytes holds the layer's weights in four bits."""
    return getattr(getattr(layer, "weight", None), "quant_state", None) is not None


def weight_count(weight: Tensor) -> int:
    """Number of weights, of which bitsandbytes packs two into an element."""
    state: Any = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else int(torch.Size(state.shape).numel())


class _ExpandedLinear(torch.autograd.Function):
    """x W' + b, for a frozen W in four bits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Any) -> Tensor:
        ctx.layer = layer
        return nn.functional.linear(x, _expanded(layer, x.dtype), layer.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0] @ _expanded(ctx.layer, gradients[0].dtype), None


def _forward(layer: Any, x: Tensor) -> Any:
    operation: Any = _ExpandedLinear
    return operation.apply(x, layer)


def _expanded(layer: Any, dtype: torch.dtype) -> Tensor:
    from bitsandbytes.functional import dequantize_4bit

    weight: Tensor = dequantize_4bit(layer.weight, layer.weight.quant_state)
    return weight.to(dtype)
