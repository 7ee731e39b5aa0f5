"""Child process of a dataset job, started by `ActiveJob.run_child`.

It reads files, takes dataset-wide decisions and writes; its worker processes transform the rows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildPort, run_child_main

from modelmill_data_prep.adapters.worker_server import start_worker_server, without_pandas

LOADING_SECONDS = 120.0
"""Time to import libraries on a busy machine."""
SMALL_FILES_BYTES = 256 * 1024
"""Smaller inputs (some thousand rows) are done before workers have started."""


def main(port: ChildPort) -> Mapping[str, Any]:
    """Make the dataset of `port.request`, with a progress report after each block."""
    port.report("prepare", unit="row", max_silence_seconds=LOADING_SECONDS)
    processes = _processes(port.request)
    if processes > 1:
        start_worker_server()
    # Imported while the forkserver preloads the workers' libraries on another core.
    from modelmill_data_prep.prepare_in_child import prepare_in_child

    return prepare_in_child(port, processes)


def _processes(request: Mapping[str, Any]) -> int:
    """Local processes that transform rows; 1 means this process."""
    if request["ray_address"]:
        return 1
    size = sum(Path(file["path"]).stat().st_size for file in request["files"])
    return 1 if size <= SMALL_FILES_BYTES else int(request["processes"])


if __name__ == "__main__":
    without_pandas()
    run_child_main(main)
