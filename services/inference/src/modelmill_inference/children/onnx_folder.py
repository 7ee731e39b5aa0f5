"""Checks an untrusted folder before ONNX Runtime GenAI reads it; without that library.

Its settings can name libraries to load, other files, and other devices.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

SETTINGS = "genai_config.json"
MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
TOP = ("model", "search")
SESSION = ("log_id", "provider_options")
FLOAT_BYTES = 4
SIZES = ("head_size", "num_hidden_layers", "num_key_value_heads")


class OnnxSizes(NamedTuple):
    """Sizes of a model, by its settings."""

    context_tokens: int
    vocabulary: int
    bytes_per_token: int
    """Of the key-value cache."""


def check_onnx_folder(folder: Path) -> OnnxSizes:
    """Raises ValueError if the runtime would read more than a model from the folder."""
    for name in (MODEL_FILE, WEIGHTS_FILE, SETTINGS):
        if not (folder / name).is_file():
            raise ValueError(f"the folder has no {name}")
    settings = _mapping(json.loads((folder / SETTINGS).read_text(encoding="utf-8")), SETTINGS)
    _only(settings, TOP, SETTINGS)
    model = _mapping(settings.get("model"), "model")
    decoder = _mapping(model.get("decoder"), "decoder")
    session = _mapping(decoder.get("session_options", {}), "session_options")
    if decoder.get("filename") != MODEL_FILE:
        raise ValueError(f"{SETTINGS} names another file than {MODEL_FILE}")
    if decoder.keys() & {"pipeline", "run_options", "adapters"}:
        raise ValueError(f"{SETTINGS} has a pipeline, options or adapters of its own")
    _only(session, SESSION, "session_options")
    if session.get("provider_options"):
        raise ValueError(f"{SETTINGS} names another provider than the CPU")
    head, layers, heads = (_size(decoder, name) for name in SIZES)
    return OnnxSizes(
        context_tokens=_size(model, "context_length"),
        vocabulary=_size(model, "vocab_size"),
        bytes_per_token=2 * FLOAT_BYTES * head * layers * heads,
    )


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} of {SETTINGS} is no object")
    return value


def _only(found: Mapping[str, Any], known: tuple[str, ...], name: str) -> None:
    if unknown := sorted(found.keys() - set(known)):
        raise ValueError(f"{name} has {unknown[0][:64]}, which is not among {', '.join(known)}")


def _size(found: Mapping[str, Any], name: str) -> int:
    size = found.get(name)
    if not isinstance(size, int) or not 0 < size < 1 << 31:
        raise ValueError(f"{name} of {SETTINGS} is no size")
    return size
