"""Checks that an untrusted folder has only complete safetensors and JSON files; without torch."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOREIGN = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".py", ".so")
"""File types that are code or can contain code."""
CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")
HEADER_BYTES = 100 * 1024 * 1024
"""Maximum header size of safetensors."""


def check_model_folder(folder: Path) -> None:
    """Raises ValueError if a loader could read more than tensors and settings from it."""
    if (folder / "adapter_config.json").exists():
        # transformers would load the base that the adapter names.
        raise ValueError("the folder is an adapter's, not a model's")
    _check_files(folder)


def check_adapter_folder(folder: Path) -> None:
    """As `check_model_folder`, for a PEFT adapter."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise ValueError("the adapter has no adapter_model.safetensors")
    _check_files(folder)


def count_of_weights(folder: Path) -> int:
    """Parameter count of its safetensors files."""
    entries = (entry for path in folder.glob("*.safetensors") for entry in _entries(path))
    return sum(math.prod(entry["shape"]) for entry in entries)


def _check_files(folder: Path) -> None:
    names = sorted(path.name for path in folder.rglob("*"))
    foreign = [name for name in names if name.lower().endswith(FOREIGN)]
    if foreign:
        raise ValueError(f"the folder has {foreign[0]}; only safetensors and JSON are read")
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        raise ValueError("the folder has no safetensors file")
    for path in weights:
        _refuse_torn(path)
    for path in folder.glob("*.json"):
        _refuse_code_key(path.name, json.loads(path.read_text(encoding="utf-8")))


def _refuse_code_key(name: str, document: Any) -> None:
    if isinstance(document, dict):
        for key, value in document.items():
            # An attention implementation "owner/repository" would be downloaded and executed.
            is_code = key in CODE_KEYS or (key.endswith("_implementation") and "/" in str(value))
            if is_code and value:
                raise ValueError(f"{name} has {key}, which makes a loader run code")
            _refuse_code_key(name, value)
    elif isinstance(document, list):
        for value in document:
            _refuse_code_key(name, value)


def _refuse_torn(path: Path) -> None:
    end = max((entry["data_offsets"][1] for entry in _entries(path)), default=0)
    with path.open("rb") as content:
        begin = 8 + int.from_bytes(content.read(8), "little")
    if begin + end != path.stat().st_size:
        raise ValueError(f"{path.name} is {path.stat().st_size} bytes long, not {begin + end}")


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Header entries of a safetensors file."""
    with path.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if not 2 <= length <= HEADER_BYTES:
            raise ValueError(f"{path.name} is no safetensors file")
        header = json.loads(content.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            yield entry
