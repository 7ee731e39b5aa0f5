"""A linear layer with LoRA as one autograd function.

PEFT computes the adapter in float32 beside the base's bfloat16 product and keeps all conversions
for
the backward pass. This keeps float32 weights, computes in the base's dtype and adds in place.
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
    """Replace the forward pass of plain LoRA layers of `model` by this function.

    Layers with dropout, bias or other features keep PEFT's forward pass.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer) and is_plain(module) and module.base_layer.bias is None:
            module.forward = MethodType(_forward, module)


def is_plain(layer: LoraLayer) -> bool:
    """Whether the layer is a linear layer with plain LoRA: no dropout, no DoRA."""
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
