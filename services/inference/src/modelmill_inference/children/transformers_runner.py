"""Requests on a model of transformers, one token at a time, round robin (imports torch)."""

from pathlib import Path
from typing import Any

from modelmill_inference.children.round_robin import RoundRobinRunner
from modelmill_inference.children.token_grammar import Grammars
from modelmill_inference.children.transformers_model import open_model


def open_transformers(load: dict[str, Any]) -> RoundRobinRunner:
    """The runner for the load message of `adapters.transformers`."""
    model = open_model(load)
    grammars = Grammars(Path(load["folder"]), model.vocabulary)
    return RoundRobinRunner(model, load["cache_bytes"], grammars.mask)
