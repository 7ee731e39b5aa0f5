"""The reference engine: any causal model of transformers, in a process of its own."""

import os
import threading
from pathlib import Path
from typing import Any

from modelmill_inference.children.runner import Runner, serve
from modelmill_inference.children.transformers_folder import (
    check_adapter_folder,
    check_model_folder,
)

POLITE = 10
"""Added to the nice value of what nobody waits for yet."""


def open_runner(load: dict[str, Any]) -> Runner:
    """The runner that `adapters.transformers` describes; any exception is a refusal."""
    check_model_folder(Path(load["folder"]))
    if load["adapter"]:
        check_adapter_folder(Path(load["adapter"]))
    # Seconds, which a folder that is refused does not cost.
    from modelmill_inference.children.transformers_runner import TransformersRunner

    return TransformersRunner(load)


def warm_up() -> None:
    """Import what every model needs, at low priority; what is loaded later has the usual one."""
    # A thread, because the kernel lets nobody take back a priority that it has given up.
    imports = threading.Thread(target=_import_politely)
    imports.start()
    imports.join()


def _import_politely() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, min(19, os.getpriority(os.PRIO_PROCESS, 0) + POLITE))
    # The architecture that most models have, or are made of.

    import modelmill_inference.children.transformers_runner  # noqa: F401


if __name__ == "__main__":
    serve(open_runner, warm_up)
    # torch takes seconds to take itself apart, and there is nothing to be saved.
    os._exit(0)
