"""One of the processes of a divided run; started by torchrun as `modelmill_trainer.launching` says.

It speaks to the process that started them all as any work process speaks to its parent
(`modelmill_jobs.child`), but by a socket, as torchrun hands on no pipes, or by files, where that
process is on another machine. When it is gone, so is this.
"""

import json
import os
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildPort, run_child_main
from modelmill_service_kit.large_imports import uncollected

from modelmill_trainer.training.distributed.folder_port import attach
from modelmill_trainer.training.distributed.process_names import FOLDER, SOCKET


def train(port: ChildPort) -> Mapping[str, Any]:
    """Take part in the run."""
    # After the parent is watched: it may end while libraries are imported, which takes seconds.
    with uncollected():
        from modelmill_trainer.training.distributed.division import ZeroDivision
        from modelmill_trainer.training.fine_tune import fine_tune
        from modelmill_trainer.training.memory import short_of_memory_named

    # DeepSpeed calls torch's collectives by older names, several times a step.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    with ZeroDivision.joined(port.request) as division, short_of_memory_named():
        return fine_tune(port, division)


def main() -> None:
    """Connect, and train."""
    rank = int(os.environ["RANK"])
    # The port reads from stdin.
    if FOLDER in os.environ:
        hears, says = attach(Path(os.environ[FOLDER]), rank)
        os.dup2(hears, 0)
    else:
        connect(Path(os.environ[SOCKET]), rank)
        says = 0
    run_child_main(train, says)


def connect(path: Path, rank: int) -> None:
    """Report at a socket, which becomes what is read from and written to."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        hello = {"rank": rank, "pid": os.getpid()}
        connection.sendall(json.dumps(hello).encode() + b"\n")
        os.dup2(connection.fileno(), 0)


if __name__ == "__main__":
    main()
