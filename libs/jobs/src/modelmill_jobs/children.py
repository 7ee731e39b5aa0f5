"""The work process of a job, as its worker starts it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_service_kit.child_process import ChildProcess
from modelmill_service_kit.errors import DiskFullError

from modelmill_jobs.child import DISK_FULL
from modelmill_jobs.errors import ChildDied


async def start_child(
    module: str,
    request: Mapping[str, Any],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
) -> ChildProcess:
    """Run `python -m module` (see `modelmill_jobs.child`) and hand it the request.

    Args:
        folder: its scratch, with its log.
    """
    child = await ChildProcess.start(module, log_file=folder / "child.log", env=env)
    child.send({"folder": str(folder), "request": dict(request)})
    return child


def why_it_died(status: int, folder: Path, log_tail: str) -> Exception:
    """What became of a child that ended with this exit status and nobody told it to.

    Args:
        folder: in which it worked.
    """
    if status == DISK_FULL:
        return DiskFullError(f"disk full on {folder} of the worker. Free space and repeat")
    return ChildDied("CHILD_DIED", _say_status(status), log_tail)


def _say_status(status: int) -> str:
    if status == -9:
        return "the work process was killed (signal 9); it may have run out of memory"
    if status < 0:
        return f"the work process crashed (signal {-status})"
    return f"the work process ended with status {status} and no result"
