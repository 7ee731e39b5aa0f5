"""Low-rank adapters on a model: where they go, and how they are kept."""

from pathlib import Path
from typing import Any

import torch
from jobs.child import ChildFailure
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

from trainer.domain.hyper_parameters import HyperParameters
from trainer.training import lora_linear

LINEAR_NAMES = (
    *("q_proj", "k_proj", "v_proj", "o_proj"),
    # Latent attention (DeepSeek V2 and V3).
    *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"),
    *("gate_proj", "up_proj", "down_proj"),
)
"""Projections that get an adapter. By name and not "all linear": that would wrap the router of a
mixture of experts, whose choices an adapter must not tilt."""


def add_lora(model: torch.nn.Module, choices: HyperParameters, base_name: str) -> PeftModel:
    """Freeze `model` and put fresh adapters on its projections; their output is 0 at first.

    Args:
        base_name: Recorded in the adapter as what it belongs to.

    Raises:
        ChildFailure: the model has no projection that we know.
    """
    present = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    targets = [name for name in LINEAR_NAMES if name in present]
    if not targets:
        raise ChildFailure(
            "NO_ADAPTER_TARGETS",
            f"none of the model's linear layers is one of {', '.join(LINEAR_NAMES)}",
            "Train it with method full.",
        )
    alpha: Any = choices.lora_alpha
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=choices.lora_rank,
        # PEFT declares a whole number, writes it out for others, and computes with any.
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,
        lora_dropout=choices.lora_dropout,
        target_modules=targets,
    )
    adapted = get_peft_model(model, config)
    lora_linear.fuse(adapted)
    # PEFT records the folder that the base was loaded from, which is nobody else's.
    config.base_model_name_or_path = base_name
    return adapted


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json`, as PEFT reads them."""
    # `save_pretrained` would ask a hub whether the base has other embeddings.
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"]
    was_training, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = was_training
