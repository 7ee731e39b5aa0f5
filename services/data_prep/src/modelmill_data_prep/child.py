"""The process in which a dataset is made: `python -m modelmill_data_prep.child`, started by the
worker.

It reads, decides and writes; the rows themselves pass through worker processes that it starts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildPort, run_child_main

from modelmill_data_prep.adapters.worker_server import start_worker_server, without_pandas

LOADING_SECONDS = 120.0
"""For libraries, on a slow and busy machine."""
SMALL_FILES_BYTES = 256 * 1024
"""Some thousand rows are done sooner than workers have started."""


def main(port: ChildPort) -> Mapping[str, Any]:
    """Make the dataset of `port.request`, saying after each block how far it is."""
    port.report("prepare", unit="row", max_silence_seconds=LOADING_SECONDS)
    processes = _processes(port.request)
    if processes > 1:
        start_worker_server()
    # Only now: it takes as long as the server takes to load what workers need, on another core.
    from modelmill_data_prep.prepare_in_child import prepare_in_child

    return prepare_in_child(port, processes)


def _processes(request: Mapping[str, Any]) -> int:
    """How many of this machine work on the rows; 1 means this one."""
    if request["ray_address"]:
        return 1
    size = sum(Path(file["path"]).stat().st_size for file in request["files"])
    return 1 if size <= SMALL_FILES_BYTES else int(request["processes"])


if __name__ == "__main__":
    without_pandas()
    run_child_main(main)
