"""Low-rank adapters on a model: where they go, and how they are kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from modelmill_jobs.child import ChildFailure
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training import lora_linear

ATTENTION_NAMES = (
    *("q_proj", "k_proj", "v_proj", "o_proj"),
    # Latent attention (DeepSeek V2 and V3).
    *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"),
)
GATED_NAMES = ("gate_proj", "up_proj", "down_proj")
LINEAR_NAMES = (*ATTENTION_NAMES, *GATED_NAMES)
"""Projections that get an adapter. By name and not "all linear": that would wrap the router of a
mixture of experts, whose choices an adapter must not tilt."""
ROUTER_NAMES = ("gate", "router", "shared_expert_gate")
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def add_lora(model: torch.nn.Module, choices: HyperParameters, base_name: str) -> PeftModel:
    """Freeze `model` and put fresh adapters on its projections; their output is 0 at first.

    Args:
        base_name: Recorded in the adapter as what it belongs to.

    Raises:
        ChildFailure: the model has no projection that we know, or none of a name that was asked
            for; a rank is larger than a layer.
    """
    modules = _modules(model, choices)
    parameters = _parameters(model, choices)
    _refuse_rank(model, modules, parameters, choices.lora_rank)
    alpha: Any = choices.lora_alpha
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=choices.lora_rank,
        # PEFT declares a whole number, writes it out for others, and computes with any.
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,
        lora_dropout=choices.lora_dropout,
        target_modules=modules,
        target_parameters=parameters or None,
    )
    adapted = get_peft_model(model, config)
    lora_linear.fuse(adapted)
    # PEFT records the folder that the base was loaded from, which is nobody else's.
    config.base_model_name_or_path = base_name
    return adapted


def begin_from(model: PeftModel, folder: Path) -> None:
    """Give fresh adapters the weights that `save_adapter` wrote.

    Raises:
        ChildFailure: they are of other layers, or of another rank.
    """
    earlier, fresh = load_file(folder / ADAPTER_WEIGHTS), _state(model)
    if {name: it.shape for name, it in earlier.items()} != {n: it.shape for n, it in fresh.items()}:
        raise ChildFailure(
            "FOREIGN_ADAPTER",
            "the adapter that the run goes on from is not one of these layers and this rank",
            "Begin from its base.",
        )
    with torch.no_grad():
        for name, weight in fresh.items():
            weight.copy_(earlier[name])


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json`, as PEFT reads them."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in _state(model).items()}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = model.peft_config["default"]
    was_training, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = was_training


def _state(model: PeftModel) -> dict[str, torch.Tensor]:
    """The adapters' own weights, under the names that they are saved by."""
    # `save_pretrained` would ask a hub whether the base has other embeddings.
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return state


def _modules(model: torch.nn.Module, choices: HyperParameters) -> list[str]:
    """Names of the linear layers that get an adapter."""
    present = {name.rpartition(".")[2] for name, _ in _linear_layers(model)}
    known: tuple[str, ...] = LINEAR_NAMES
    if _stacked_parameters(model):
        # PEFT takes these names for the stacked experts, of every layer, and for nothing else.
        known = ATTENTION_NAMES
        present -= set(GATED_NAMES)
    allowed = sorted(present - {"lm_head", *ROUTER_NAMES})
    unknown = [name for name in choices.target_modules if name not in allowed]
    if unknown:
        raise ChildFailure(
            "UNKNOWN_MODULES",
            f"{_quoted(unknown)} cannot have an adapter; of this model's layers these can: "
            f"{', '.join(allowed) or 'none'}",
            "Name some of them, or none to adapt all that are known. Routers and the output layer "
            "keep their weights, and experts are adapted by target_parameters.",
        )
    targets = [name for name in choices.target_modules or known if name in present]
    if not targets:
        raise ChildFailure(
            "NO_ADAPTER_TARGETS",
            f"none of the model's linear layers is one of {', '.join(LINEAR_NAMES)}",
            "Train it with method full.",
        )
    return targets


def _parameters(model: torch.nn.Module, choices: HyperParameters) -> list[str]:
    """Ends of the names of the stacked parameters that get an adapter."""
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
            f"{_quoted(unknown)} is no stack of experts; this model has: "
            f"{', '.join(found) or 'none'}",
            "Name some of them, or none to leave the experts as they are.",
        )
    return list(choices.target_parameters)


def _refuse_rank(
    model: torch.nn.Module, modules: list[str], parameters: list[str], rank: int
) -> None:
    """An adapter of a rank that the layer itself does not have is larger than the layer."""
    shapes = {
        name: tuple(layer.weight.shape)
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
    """Weights of all experts of a layer as one parameter, [experts, out, in]."""
    return {name: it for name, it in model.named_parameters() if it.ndim == 3}


def _ends_with(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith(f".{wanted}")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
