"""From folders that nobody vouches for to a model: safetensors and JSON only (torch)."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from inference.children.transformers_model import CausalModel

FOREIGN = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".py", ".so")
"""Weights that can carry code, and code."""
CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")
HEADER_BYTES = 100 * 1024 * 1024
"""No header of a safetensors file is longer."""


def open_model(load: dict[str, Any]) -> CausalModel:
    """The model as `adapters.transformers` describes it, with its adapter upon it.

    Raises:
        ValueError: it carries code, is incomplete, or is larger than the memory that is left.
        Exception: whatever transformers makes of a folder that it does not understand.
    """
    if load["threads"]:
        torch.set_num_threads(load["threads"])
    device, dtype = _device(load["device"]), load["dtype"]
    on_gpu = device.startswith("cuda")
    weights = getattr(torch, dtype if dtype != "auto" else "bfloat16" if on_gpu else "float32")
    folder = Path(load["folder"])
    refuse_code(folder)
    if (folder / "adapter_config.json").exists():
        # transformers would load the base that it names instead.
        raise ValueError("the folder is an adapter's, not a model's")
    _refuse_too_large(folder, weights, device)
    module = _read_module(folder, weights)
    if load["adapter"]:
        _put_upon(module, Path(load["adapter"]))
    return CausalModel(module, device)


def refuse_code(folder: Path) -> None:
    """Raise ValueError for a folder by which anything but tensors and JSON could be loaded."""
    names = [path.name for path in folder.rglob("*")]
    foreign = sorted(name for name in names if name.lower().endswith(FOREIGN))
    if foreign:
        raise ValueError(f"the folder has {foreign[0]}; only safetensors and JSON are read")
    if not any(name.endswith(".safetensors") for name in names):
        raise ValueError("the folder has no safetensors file")
    for path in folder.glob("*.json"):
        _refuse_code_key(path.name, json.loads(path.read_text(encoding="utf-8")))


def _refuse_code_key(name: str, document: Any) -> None:
    if isinstance(document, dict):
        for key, value in document.items():
            # An attention of "owner/repository" would be fetched and run.
            is_code = key in CODE_KEYS or (key.endswith("_implementation") and "/" in str(value))
            if is_code and value:
                raise ValueError(f"{name} has {key}, which makes a loader run code")
            _refuse_code_key(name, value)
    elif isinstance(document, list):
        for value in document:
            _refuse_code_key(name, value)


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


def _put_upon(module: Any, folder: Path) -> None:
    """Put a LoRA adapter upon the module, in place."""
    # A request for a base alone does not pay for it.
    from peft import LoraConfig, PeftConfig, PeftModelForCausalLM

    refuse_code(folder)
    config = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    if type(config) is not LoraConfig:
        raise ValueError(f"the adapter is of type {config.peft_type}; only LORA is run")
    config.inference_mode = True
    adapted = PeftModelForCausalLM(module, config)
    found = adapted.load_adapter(str(folder), "default", local_files_only=True)
    if found.unexpected_keys or found.missing_keys:
        odd = sorted([*found.unexpected_keys, *found.missing_keys])[:3]
        raise ValueError(f"the adapter does not fit the base: {odd}")


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _refuse_too_large(folder: Path, dtype: torch.dtype, device: str) -> None:
    elements = sum(map(_elements, folder.glob("*.safetensors")))
    needed, free = elements * dtype.itemsize, _free_bytes(device)
    if needed > free:
        raise ValueError(f"the weights need {needed >> 20} MiB, {free >> 20} MiB are free")


def _elements(path: Path) -> int:
    """Numbers in a safetensors file, by its header."""
    with path.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if not 2 <= length <= HEADER_BYTES:
            raise ValueError(f"{path.name} is no safetensors file")
        header = json.loads(content.read(length))
    return sum(math.prod(it["shape"]) for name, it in header.items() if name != "__metadata__")


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
