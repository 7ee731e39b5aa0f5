"""Cleanup that completes although its caller is cancelled; ends of processes and descendants."""

import asyncio
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import psutil

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run to completion; a cancellation meanwhile is raised afterwards.

    For work that takes moments, or has a limit of its own: a caller's timeout does not end it.
    """
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def end_of(process: subprocess.Popen[bytes]) -> int:
    """Wait until it ends, and reap it; its exit status. Who is cancelled leaves it to a thread."""
    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, process.wait))


async def kill(process: subprocess.Popen[bytes]) -> int:
    """End it at once, and reap it; its exit status. Nothing is left of it, also for who is
    cancelled."""
    process.kill()  # which minds that somebody else waits for it, too
    return await to_its_end(end_of(process))


MARK = "MODELMILL_STARTED_BY"
"""Variable with the names of the supervisors above a process, from the outermost."""

SEPARATOR = "/"
LONGEST_SECONDS = 10.0
LOOK_SECONDS = 0.05


def mark_below(above: str, name: str) -> str:
    """The mark of `name` under the one whose mark is `above`."""
    return f"{above}{SEPARATOR}{name}"


def descendants(mark: str) -> Iterator[psutil.Process]:
    """Processes that run under `mark`, those excepted that have ended and were not waited for.

    Process groups and parents do not tell: children make groups of their own, and orphans lose
    their parent. The environment does: it is inherited, and the kernel shows it to the owner.
    """
    for process in psutil.process_iter():
        try:
            given = process.environ().get(MARK, "")
        except (psutil.Error, OSError):
            continue  # gone, or somebody else's
        if f"{given}{SEPARATOR}".startswith(f"{mark}{SEPARATOR}"):
            yield process


def kill_descendants(mark: str) -> int:
    """SIGKILL whatever runs under `mark`, and what that starts meanwhile; how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + LONGEST_SECONDS
    while found := list(descendants(mark)):
        for process in found:
            killed.add(process.pid)
            try:
                process.kill()
            except psutil.Error:
                continue
        if time.monotonic() > deadline:
            break  # the kernel does not let go of them, for example for a disk that is away
        time.sleep(LOOK_SECONDS)
    return len(killed)


PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process `number` when the thread that started it is gone.

    What this process becomes by `exec` inherits the desired state. Linux only; elsewhere nothing
    happens, and who starts next ends what was left (`descendants`).
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
