"""The choices of a division as DeepSpeed's configuration."""

import json
from importlib.resources import files
from typing import Any

import torch

from modelmill_trainer.domain.distribution import BF16, FP16, WEIGHTS_STAGE, Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters

PERSISTENT_ROWS = 10
"""Weights of so many rows of the model's width stay with every rank: gathering them would cost more
than it saves. Norms and biases, that is."""


def zero_config(
    distribution: Distribution, choices: HyperParameters, hidden_size: int
) -> dict[str, Any]:
    """What `deepspeed.initialize` takes; what is chosen overrides the preset's own values."""
    config = read_preset(distribution.preset) if distribution.preset else {}
    zero = config.setdefault("zero_optimization", {})
    zero["stage"] = distribution.zero_stage
    offloads = {
        "offload_optimizer": distribution.offload_optimizer,
        "offload_param": distribution.offload_parameters,
    }
    for name, wanted in offloads.items():
        options = zero.pop(name, {"pin_memory": True}) | {"device": "cpu"}
        # Only memory that a GPU copies from is better pinned.
        options["pin_memory"] = options["pin_memory"] and torch.cuda.is_available()
        if wanted:
            zero[name] = options
    if distribution.zero_stage == WEIGHTS_STAGE:
        zero["stage3_param_persistence_threshold"] = PERSISTENT_ROWS * hidden_size
    # Without a second stream there is nothing to overlap with; DeepSpeed takes it for stage 2 only
    # where the caller says when a step is whole.
    zero["overlap_comm"] = torch.cuda.is_available() and distribution.zero_stage == 2
    for name in (BF16, FP16):
        config.pop(name, None)
        if distribution.precision == name:
            config[name] = {"enabled": True}
    if FP16 in config:
        # A step that overflows is lost: begin where few do, and go down at once.
        config[FP16] |= {"initial_scale_power": 12, "hysteresis": 1}
    return config | {
        # The loop's, since passes are not of one size; DeepSpeed only checks its arithmetic.
        "train_micro_batch_size_per_gpu": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": choices.max_grad_norm,
        # Gradients of many passes are added up.
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1_000_000_000,
    }


def read_preset(name: str) -> dict[str, Any]:
    """The configuration of that name in this package, a new object each time."""
    text = (files(__package__) / "presets" / f"{name}.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    return config
