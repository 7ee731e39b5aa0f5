"""Builds the DeepSpeed configuration of a distributed run."""

import json
from importlib.resources import files
from typing import Any

import torch

from modelmill_trainer.domain.distribution import BF16, FP16, WEIGHTS_STAGE, Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters

PERSISTENT_ROWS = 10
"""Weights up to this multiple of the hidden size (norms, biases) stay in every rank: gathering them
costs more than it saves."""


def zero_config(
    distribution: Distribution, choices: HyperParameters, hidden_size: int
) -> dict[str, Any]:
    """Configuration for `deepspeed.initialize`; given options override the preset."""
    config = read_preset(distribution.preset) if distribution.preset else {}
    zero = config.setdefault("zero_optimization", {})
    zero["stage"] = distribution.zero_stage
    offloads = {
        "offload_optimizer": distribution.offload_optimizer,
        "offload_param": distribution.offload_parameters,
    }
    for name, wanted in offloads.items():
        options = zero.pop(name, {"pin_memory": True}) | {"device": "cpu"}
        # Pinned memory only helps copies to a GPU.
        options["pin_memory"] = options["pin_memory"] and torch.cuda.is_available()
        if wanted:
            zero[name] = options
    if distribution.zero_stage == WEIGHTS_STAGE:
        zero["stage3_param_persistence_threshold"] = PERSISTENT_ROWS * hidden_size
    # Overlap needs a CUDA stream; DeepSpeed supports it for stage 2 only, where the caller marks
    # the step boundaries.
    zero["overlap_comm"] = torch.cuda.is_available() and distribution.zero_stage == 2
    for name in (BF16, FP16):
        config.pop(name, None)
        if distribution.precision == name:
            config[name] = {"enabled": True}
    if FP16 in config:
        # Each overflow loses a step: start with a low scale, and lower it at once.
        config[FP16] |= {"initial_scale_power": 12, "hysteresis": 1}
    return config | {
        # The loop batches itself, as passes differ in size; DeepSpeed only validates this.
        "train_micro_batch_size_per_gpu": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": choices.max_grad_norm,
        # Gradients of many passes are accumulated.
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1_000_000_000,
    }


def read_preset(name: str) -> dict[str, Any]:
    """Load a preset from this package; returns a new object each time."""
    text = (files(__package__) / "presets" / f"{name}.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    return config
