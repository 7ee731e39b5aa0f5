"""Child process of the transformers engine."""

import os
import threading
from pathlib import Path
from typing import Any

from modelmill_service_kit.large_imports import large_import, leave_out_bitsandbytes

from modelmill_inference.children.runner import Runner, serve
from modelmill_inference.children.transformers_folder import (
    check_adapter_folder,
    check_model_folder,
)

POLITE = 10
"""Niceness of imports for a pre-warmed process."""


def open_runner(load: dict[str, Any]) -> Runner:
    """Create the runner from a load message; any exception rejects the model."""
    check_model_folder(Path(load["folder"]))
    if load["adapter"]:
        check_adapter_folder(Path(load["adapter"]))
        leave_out_bitsandbytes(Path(load["folder"]))
    # Imported after the checks, because it takes seconds.
    with large_import("bitsandbytes", "scipy"):
        from modelmill_inference.children.transformers_runner import open_transformers

    return open_transformers(load)


def warm_up() -> None:
    """Import the libraries at low priority; loading later has normal priority."""
    # In a thread, because a process cannot raise its priority again.
    imports = threading.Thread(target=_import_politely)
    imports.start()
    imports.join()


def _import_politely() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, min(19, os.getpriority(os.PRIO_PROCESS, 0) + POLITE))
    with large_import("bitsandbytes", "scipy"):
        import modelmill_inference.children.transformers_runner  # noqa: F401


if __name__ == "__main__":
    serve(open_runner, warm_up)
    # torch takes seconds for its shutdown, which saves nothing.
    os._exit(0)
