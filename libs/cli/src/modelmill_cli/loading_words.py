"""What a model that is being loaded looks like to people."""

from collections.abc import Mapping
from typing import Any


def loading_words(model: Mapping[str, Any]) -> str:
    """How far an engine is with loading it; empty when none loads it."""
    loading = model.get("loading")
    if not loading:
        return ""
    left = loading["remaining_seconds"]
    ahead = "" if left is None else f", about {left:.0f} s left"
    return f"loading… {loading['elapsed_seconds']:.0f} s so far{ahead}"
