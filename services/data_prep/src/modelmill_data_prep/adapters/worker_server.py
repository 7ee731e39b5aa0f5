"""A process that has loaded what workers need, and is forked for each of them.

Light on purpose: whoever starts the server early loads its own libraries meanwhile.
"""

import multiprocessing
import sys
from importlib.abc import MetaPathFinder
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

_PRELOADED = ["modelmill_data_prep.pipeline.worker_parts"]


def start_worker_server() -> None:
    """Begin to load the libraries of workers in another process; returns at once."""
    worker_context()
    forkserver.ensure_running()


def worker_context() -> ForkServerContext:
    """What worker processes are started by; starts the server with the first of them."""
    # This process is never forked: threads of Arrow and of its port would be missing in the copy.
    # The server has none.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def without_pandas() -> None:
    """Keep pyarrow from importing pandas, as it does with the first array wherever it is installed.

    That takes half a second, in every process, for conversions that are never made here.
    """
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("left out, see without_pandas", name=name)
