"""A rank process of a distributed run, started by torchrun.

It uses the protocol of `modelmill_jobs.child` over a socket, because torchrun passes no pipes, or
over files if the launcher is on another machine. It ends when the launcher ends.
"""

import json
import os
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildPort, run_child_main
from modelmill_service_kit.large_imports import large_import, leave_out_bitsandbytes

from modelmill_trainer.training.distributed.file_port import attach
from modelmill_trainer.training.distributed.process_names import FOLDER, SOCKET


def train(port: ChildPort) -> Mapping[str, Any]:
    """Join the process group and train."""
    # Imported after the parent watchdog runs: imports take seconds in which the parent may end.
    if port.request["hyper_parameters"]["method"] != "qlora":
        leave_out_bitsandbytes(Path(port.request["base_folder"]))
    with large_import():
        from modelmill_trainer.training.distributed.zero_update import ZeroRun
        from modelmill_trainer.training.failures import out_of_memory_as_failure
        from modelmill_trainer.training.fine_tune import fine_tune

    # DeepSpeed calls deprecated names of torch's collectives, several times a step.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    with ZeroRun.joined(port.request) as zero_run, out_of_memory_as_failure():
        return fine_tune(port, zero_run)


def main() -> None:
    """Connect to the launcher, and train."""
    rank = int(os.environ["RANK"])
    # ChildPort reads from stdin.
    if FOLDER in os.environ:
        read_end, reports = attach(Path(os.environ[FOLDER]), rank)
        os.dup2(read_end, 0)
    else:
        connect(Path(os.environ[SOCKET]), rank)
        reports = 0
    run_child_main(train, reports)


def connect(path: Path, rank: int) -> None:
    """Connect to the launcher's socket, which becomes stdin."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        hello = {"rank": rank, "pid": os.getpid()}
        connection.sendall(json.dumps(hello).encode() + b"\n")
        os.dup2(connection.fileno(), 0)


if __name__ == "__main__":
    main()
