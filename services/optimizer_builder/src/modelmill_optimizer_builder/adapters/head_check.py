"""Verifies that a model's output layer is what its config says: the embedding, or its own (torch).

transformers mends a contradiction in silence, each time another way: it ties what is stored apart,
or draws at random what is not stored. What is built of it would then be another model.
"""

from pathlib import Path
from typing import Any

from modelmill_evaluation.parity.weights import Weights, check_head
from safetensors import safe_open


def check_module_head(module: Any, base: Path) -> None:
    """Accept a model whose files and merged weights both are as its config says.

    Args:
        module: Loaded and merged; an adapter may have brought an output layer of its own.
        base: Folder that it was loaded from.

    Raises:
        ParityError: HEAD_CONTRADICTS.
    """
    first, last = module.get_input_embeddings(), module.get_output_embeddings()
    if first is None or last is None:
        return
    is_tied = is_head_tied(module)
    names = {id(part): f"{name}.weight" for name, part in module.named_modules()}
    head = _stored(base, names[id(last)])
    if not is_tied or head is not None:
        embedding = _stored(base, names[id(first)]) if is_tied else None
        check_head(is_tied=is_tied, embedding=embedding, head=head, form="the source")
    if is_tied and first.weight is not last.weight:
        one, other = (part.weight.detach().float().numpy() for part in (first, last))
        check_head(is_tied=True, embedding=one, head=other, form="the merged model")


def is_head_tied(module: Any) -> bool:
    """Whether the config says that the output layer is the embedding."""
    return bool(module.config.get_text_config().tie_word_embeddings)


def _stored(base: Path, name: str) -> Weights | None:
    """A tensor as files hold it; None if none does.

    Files may have more or less before the last two parts of a name than the module has.
    """
    tail = ".".join(name.split(".")[-2:])
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            for stored in tensors.keys():  # noqa: SIM118
                if stored == tail or stored.endswith(f".{tail}"):
                    found: Weights = tensors.get_tensor(stored).float().numpy()
                    return found
    return None
