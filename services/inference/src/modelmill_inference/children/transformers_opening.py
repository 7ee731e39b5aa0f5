"""From a checked folder to a model that was tried out (torch)."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from modelmill_inference.children.transformers_folder import count_of_weights
from modelmill_inference.children.transformers_model import CausalModel
from modelmill_inference.domain.adapter_fit import BEGINNING

KINDS = ("PREFIX_TUNING", "PROMPT_TUNING")
"""Of PEFT's adapters."""
WEIGHTS_FILE = "adapter_model.safetensors"


@torch.inference_mode()
def read_beginning(module: Any, config: Any, folder: Path) -> Any:
    """A cache of the virtual tokens; texts go on behind it, as they did in training.

    Args:
        config: the adapter's, of one of `KINDS`.

    Raises:
        ValueError: it does not fit the module.
    """
    weight = load_file(folder / WEIGHTS_FILE)[BEGINNING].to(module.dtype)
    virtual = int(config.num_virtual_tokens)
    if getattr(config, "prefix_projection", False):
        raise ValueError("the adapter has prefix_projection, whose network is not in its file")
    if weight.shape[0] != virtual:
        raise ValueError(f"the adapter has {weight.shape[0]} virtual tokens, not {virtual}")
    cache = DynamicCache(config=module.config)
    if not all(type(layer) is DynamicLayer for layer in cache.layers):
        raise ValueError("a beginning needs layers that see all of a text")
    if config.peft_type == KINDS[1]:
        module.base_model(inputs_embeds=weight[None], past_key_values=cache, use_cache=True)
        return cache
    _fill(cache, weight, int(config.num_layers), int(config.num_attention_heads))
    return cache


def _fill(cache: Any, weight: Tensor, layers: int, heads: int) -> None:
    """Take a prefix apart as PEFT lays it out: token; layer, key or value; head; width."""
    both = weight.view(len(weight), 2 * layers, heads, -1).permute(1, 2, 0, 3).unsqueeze(1)
    for layer in range(layers):
        cache.update(both[2 * layer].contiguous(), both[2 * layer + 1].contiguous(), layer)


def open_model(load: dict[str, Any]) -> CausalModel:
    """The model as `adapters.transformers` describes it, with its adapter upon it.

    Raises:
        ValueError: it is incomplete, no causal model, or larger than the memory that is left.
        Exception: whatever transformers makes of a folder that it does not understand.
    """
    disable_progress_bar()
    if load["threads"]:
        torch.set_num_threads(load["threads"])
    device, dtype = _device(load["device"]), load["dtype"]
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    folder, weights = Path(load["folder"]), getattr(torch, dtype)
    _refuse_too_large(folder, weights, device)
    module = _read_module(folder, weights)
    beginning = _put_upon(module, Path(load["adapter"])) if load["adapter"] else None
    return CausalModel(module, device, beginning)


def _read_module(folder: Path, dtype: torch.dtype) -> Any:
    read: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    module, found = read
    # Of these transformers would make something up.
    for what in ("missing_keys", "mismatched_keys", "error_msgs"):
        if found[what]:
            odd = sorted(map(str, found[what]))[:3]
            raise ValueError(f"the weights do not fit config.json: {what} {odd}")
    return module


def _put_upon(module: Any, folder: Path) -> Any | None:
    """Put a LoRA adapter upon the module, in place.

    Returns:
        Keys and values to begin every text with, of a prefix or a prompt.
    """
    # A request for a base alone does not pay for it.
    from peft import LoraConfig, PeftConfig, PeftModelForCausalLM

    config: Any = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    if config.peft_type in KINDS:
        return read_beginning(module, config, folder)
    if type(config) is not LoraConfig:
        known = ", ".join(("LORA", *KINDS))
        raise ValueError(f"the adapter is of type {config.peft_type}; only {known} are run")
    config.inference_mode = True
    adapted = PeftModelForCausalLM(module, config)
    found = adapted.load_adapter(str(folder), "default", local_files_only=True)
    if found.unexpected_keys or found.missing_keys:
        odd = sorted([*found.unexpected_keys, *found.missing_keys])[:3]
        raise ValueError(f"the adapter does not fit the base: {odd}")
    return None


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _refuse_too_large(folder: Path, dtype: torch.dtype, device: str) -> None:
    needed, free = count_of_weights(folder) * dtype.itemsize, _free_bytes(device)
    if needed > free:
        raise ValueError(f"the weights need {needed >> 20} MiB, {free >> 20} MiB are free")


def _free_bytes(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min(int(line.split()[1]) * 1024, _free_of_container())
    raise ValueError("the machine does not say how much memory is free")


def _free_of_container() -> int:
    """What the limit of our control group leaves; a lot where there is none."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        return int(limit) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return 1 << 62
