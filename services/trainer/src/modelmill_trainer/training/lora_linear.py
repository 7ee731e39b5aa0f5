"""A linear layer with its low-rank adapter as one operation.

PEFT's layer computes in float32 what is beside the base's bfloat16 product and converts there and
back, keeping each intermediate for the backward pass. This keeps the adapter's weights in float32
and computes in the base's format, adding onto the base's product in place.
"""

from types import MethodType
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLayer
from torch import Tensor

ADAPTER = "default"


class _LoraLinear(torch.autograd.Function):
    """x W' + s (x A') B', for a frozen W."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        down_R_I: Tensor,  # noqa: N803 - shape suffix
        up_O_R: Tensor,  # noqa: N803
        scaling: float,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        down, up = down_R_I.to(x.dtype), (up_O_R * scaling).to(x.dtype)
        narrow = rows @ down.t()
        output = rows @ weight.t()
        output.addmm_(narrow, up.t())
        ctx.save_for_backward(rows, narrow, weight, down, up)
        ctx.scaling, ctx.shape = scaling, x.shape
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        rows, narrow, weight, down, up = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        narrow_gradient = gradient @ up
        up_gradient = (gradient.t() @ narrow).float() * ctx.scaling
        down_gradient = (narrow_gradient.t() @ rows).float()
        input_gradient = None
        if ctx.needs_input_grad[0]:
            input_gradient = gradient @ weight
            input_gradient.addmm_(narrow_gradient, down)
            input_gradient = input_gradient.view(ctx.shape)
        return input_gradient, None, down_gradient, up_gradient, None


def fuse(model: PeftModel) -> None:
    """Compute plain adapted layers of `model` by the operation above, for good.

    Layers with dropout, a bias or anything else that it does not know stay as they are.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer) and is_plain(module) and module.base_layer.bias is None:
            module.forward = MethodType(_forward, module)


def is_plain(layer: LoraLayer) -> bool:
    """Whether the adapter is nothing but x A' B' s beside a linear layer."""
    return (
        type(layer.base_layer) is torch.nn.Linear
        and isinstance(layer.lora_dropout[ADAPTER], torch.nn.Identity)
        and not layer.use_dora[ADAPTER]
        and not layer.fan_in_fan_out
    )


def _forward(layer: LoraLayer, x: Tensor, *_args: Any, **_options: Any) -> Any:
    base = layer.base_layer
    if layer.disable_adapters:
        return base(x)
    down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    operation: Any = _LoraLinear
    return operation.apply(x, base.weight, down, up, layer.scaling[ADAPTER])
