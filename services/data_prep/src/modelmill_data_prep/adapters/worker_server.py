"""Forkserver for worker processes, with their libraries preloaded.

Imports little itself, so that the server can load libraries while the caller loads its own.
"""

import multiprocessing
import sys
from importlib.abc import MetaPathFinder
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

_PRELOADED = ["modelmill_data_prep.pipeline.worker_parts"]


def start_worker_server() -> None:
    """Start the forkserver, which preloads libraries; does not block."""
    worker_context()
    forkserver.ensure_running()


def worker_context() -> ForkServerContext:
    """Multiprocessing context of workers; starts the forkserver if needed."""
    # Not "fork": this process has threads (Arrow, ChildPort) that a fork would lose.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def without_pandas() -> None:
    """Prevent pyarrow from importing pandas: it takes half a second per process and is unused."""
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is hidden by without_pandas", name=name)
