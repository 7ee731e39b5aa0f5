"""Every process that somebody has started, at any depth, also when those between are gone.

Process groups and parents do not tell: children make groups of their own, and orphans lose their
parent. The environment does: it is inherited, and the kernel shows it to the owner.
"""

import time
from collections.abc import Iterator

import psutil

MARK = "MODELMILL_STARTED_BY"
"""Variable with the names of the supervisors above a process, from the outermost."""

SEPARATOR = "/"
LONGEST_SECONDS = 10.0
LOOK_SECONDS = 0.05


def mark_below(above: str, name: str) -> str:
    """The mark of `name` under the one whose mark is `above`."""
    return f"{above}{SEPARATOR}{name}"


def descendants(mark: str) -> Iterator[psutil.Process]:
    """Processes that run under `mark`, those excepted that have ended and were not waited for."""
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
