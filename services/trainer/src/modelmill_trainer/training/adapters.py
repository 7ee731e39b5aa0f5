"""LoRA by PEFT: choice of target layers, loading and saving."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from modelmill_jobs.child import ChildFailure
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
)
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training import lora_linear

GATED_NAMES = ("gate_proj", "up_proj", "down_proj")
ROUTER_NAMES = ("gate", "router", "shared_expert_gate")
"""Layers that choose experts, and stay frozen. PEFT's "all-linear" would adapt them."""
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"


def add_lora(model: torch.nn.Module, choices: HyperParameters, base_name: str) -> PeftModel:
    """Freeze `model` and add LoRA to its projections, initialised to output 0.

    Args:
        base_name: Recorded in the adapter config as its base.

    Raises:
        ChildFailure: the model has no supported or no requested projection, or the rank exceeds
            a layer's size.
    """
    modules = _modules(model, choices)
    parameters = _parameters(model, choices)
    _refuse_rank(model, modules, parameters, choices.lora_rank)
    alpha: Any = choices.lora_alpha
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=choices.lora_rank,
        # PEFT declares an int but works with any number; other readers expect an int.
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,
        lora_dropout=choices.lora_dropout,
        target_modules=modules,
        target_parameters=parameters or None,
    )
    adapted = get_peft_model(model, config)
    lora_linear.fuse(adapted)
    # PEFT records the local folder of the base, which means nothing to other readers.
    config.base_model_name_or_path = base_name
    return adapted


def load_adapter(model: PeftModel, folder: Path) -> None:
    """Load weights that `save_adapter` wrote into a new adapter.

    Raises:
        ChildFailure: layers or rank differ.
    """
    earlier, fresh = load_file(folder / ADAPTER_WEIGHTS), _state(model)
    if {name: it.shape for name, it in earlier.items()} != {n: it.shape for n, it in fresh.items()}:
        raise ChildFailure(
            "FOREIGN_ADAPTER",
            "the adapter to continue from has other layers or another rank",
            "Start from its base.",
        )
    with torch.no_grad():
        for name, weight in fresh.items():
            weight.copy_(earlier[name])


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with the adapter of a PEFT folder added to its weights."""
    adapted = PeftModel.from_pretrained(model, str(folder))
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json` in PEFT's format."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in _state(model).items()}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = model.peft_config["default"]
    was_training, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = was_training
    _sort_sets(folder / ADAPTER_CONFIG, config)


def _sort_sets(file: Path, config: PeftConfig) -> None:
    """Sort what PEFT holds as sets: their order differs in each process, and so would digests."""
    written = json.loads(file.read_text(encoding="utf-8"))
    for name, value in config.to_dict().items():
        if isinstance(value, set):
            written[name] = sorted(value)
    file.write_text(json.dumps(written, indent=2, sort_keys=True), encoding="utf-8")


def _state(model: PeftModel) -> dict[str, torch.Tensor]:
    """Adapter weights by the names used in PEFT's files."""
    # `save_pretrained` would ask the Hugging Face Hub for the base's config.
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return state


def _modules(model: torch.nn.Module, choices: HyperParameters) -> list[str]:
    """Names of the linear layers that get LoRA."""
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    present = {name.rpartition(".")[2] for name, it in _linear_layers(model) if it is not head}
    if _stacked_parameters(model):
        # With stacked experts PEFT applies these names to the experts of every layer.
        present -= set(GATED_NAMES)
    allowed = sorted(present - {"lm_head", *ROUTER_NAMES})
    unknown = [name for name in choices.target_modules if name not in allowed]
    if unknown:
        raise ChildFailure(
            "UNKNOWN_MODULES",
            f"{_quoted(unknown)} cannot be adapted. Of this model's layers these can: "
            f"{', '.join(allowed) or 'none'}",
            "Name some of them, or none to adapt all. Routers and output head "
            "stay frozen; use target_parameters for experts.",
        )
    if not allowed:
        raise ChildFailure(
            "NO_ADAPTER_TARGETS",
            "the model has no linear layers besides routers and output head",
            "Train it with method full.",
        )
    return [name for name in choices.target_modules or allowed if name in allowed]


def _parameters(model: torch.nn.Module, choices: HyperParameters) -> list[str]:
    """Name suffixes of the stacked expert parameters that get LoRA."""
    there = _stacked_parameters(model)
    unknown = [
        wanted
        for wanted in choices.target_parameters
        if not any(_ends_with(name, wanted) for name in there)
    ]
    if unknown:
        found = sorted({".".join(name.split(".")[-3:]) for name in there})
        raise ChildFailure(
            "UNKNOWN_PARAMETERS",
            f"{_quoted(unknown)} is not a stacked expert parameter. This model has: "
            f"{', '.join(found) or 'none'}",
            "Name some of them, or none to leave the experts as they are.",
        )
    return list(choices.target_parameters)


def _refuse_rank(
    model: torch.nn.Module, modules: list[str], parameters: list[str], rank: int
) -> None:
    """Reject a rank above a layer's own: such an adapter would be larger than the layer."""
    shapes: dict[str, tuple[int, ...]] = {
        # Not of the weight, which four-bit layers pack.
        name: (layer.out_features, layer.in_features)
        for name, layer in _linear_layers(model)
        if name.rpartition(".")[2] in modules
    }
    shapes |= {
        name: tuple(weight.shape[1:])
        for name, weight in _stacked_parameters(model).items()
        if any(_ends_with(name, wanted) for wanted in parameters)
    }
    name, shape = min(shapes.items(), key=lambda item: min(item[1]))
    if rank > min(shape):
        raise ChildFailure(
            "RANK_TOO_LARGE",
            f"lora_rank {rank} is larger than {name}, which is {shape[1]} to {shape[0]}",
            f"Choose a rank of at most {min(shape)}, or name larger layers in target_modules.",
        )


def _linear_layers(model: torch.nn.Module) -> list[tuple[str, torch.nn.Linear]]:
    return [(n, it) for n, it in model.named_modules() if isinstance(it, torch.nn.Linear)]


def _stacked_parameters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that stack the weights of all experts of a layer, [experts, out, in]."""
    return {name: it for name, it in model.named_parameters() if it.ndim == 3}


def _ends_with(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith(f".{wanted}")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
