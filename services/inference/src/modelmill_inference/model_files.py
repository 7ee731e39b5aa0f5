"""What the files of a model tell before an engine opens them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_registry.safetensors_header import safetensors_problem
from modelmill_service_kit.errors import PreconditionError

from modelmill_inference.domain.adapter_fit import adapter_problems
from modelmill_inference.domain.cache_size import token_bytes
from modelmill_inference.domain.generation import ModelLimits

WEIGHT_SUFFIXES = frozenset({".bin", ".safetensors", ".gguf", ".onnx", ".data", ".plan"})
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Limits and size of a model, with its adapter if it has one."""

    config: Mapping[str, Any]
    tokenizer: Path
    """The folder of its tokenizer and chat template."""
    limits: ModelLimits
    weight_bytes: int


def read_files(folder: Path, adapter: Path | None, context_tokens: int) -> ModelFiles:
    """Read them; of context limits the smaller of the registry's and the config's counts.

    Raises:
        PreconditionError: a file is missing or is not what it should be.
    """
    # An adapter has learned the template that lies beside it.
    own = adapter is not None and (adapter / TOKENIZER).is_file()
    try:
        config = _config(folder)
        vocabulary, positions = (
            int(config[name]) for name in ("vocab_size", "max_position_embeddings")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PreconditionError(f"the artifact cannot be served: {error}") from error
    if vocabulary < 1 or positions < 1:
        raise PreconditionError("the artifact cannot be served: it has no vocabulary or no context")
    limits = ModelLimits(
        context_tokens=min(context_tokens or positions, positions),
        vocabulary=vocabulary,
        token_bytes=token_bytes(config),
    )
    sources = [folder] if adapter is None else [folder, adapter]
    tokenizer = adapter if own and adapter is not None else folder
    return ModelFiles(config, tokenizer, limits, sum(map(_weight_bytes, sources)))


def check_adapter(adapter: Path, base: Path) -> None:
    """Look at an adapter's weights, without an engine.

    Raises:
        PreconditionError: they are not whole, or do not fit the base.
    """
    try:
        with (adapter / ADAPTER_WEIGHTS).open("rb") as content:
            problem = safetensors_problem(content)
            if problem is not None:
                raise PreconditionError(f"the adapter's file of weights {problem}")
            content.seek(0)
            header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
        header.pop("__metadata__", None)
        shapes = {name: tensor["shape"] for name, tensor in header.items()}
        problems = adapter_problems(shapes, _config(base))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PreconditionError(f"the adapter cannot be served: {error}") from error
    if problems:
        raise PreconditionError(f"the adapter does not fit its base: {'; '.join(problems)}")


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES)
