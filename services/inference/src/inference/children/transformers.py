"""The reference engine: any causal model of transformers, in a process of its own."""

import os
from pathlib import Path
from typing import Any

from inference.children.runner import Runner, serve
from inference.children.transformers_folder import check_adapter_folder, check_model_folder


def open_runner(load: dict[str, Any]) -> Runner:
    """The runner that `adapters.transformers` describes; any exception is a refusal."""
    check_model_folder(Path(load["folder"]))
    if load["adapter"]:
        check_adapter_folder(Path(load["adapter"]))
    # Seconds, which a folder that is refused does not cost.
    from inference.children.transformers_runner import TransformersRunner

    return TransformersRunner(load)


if __name__ == "__main__":
    serve(open_runner)
    # torch takes seconds to take itself apart, and there is nothing to be saved.
    os._exit(0)
