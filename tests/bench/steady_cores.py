"""Keeps the machine from adding its own noise to times of a few microseconds.

An idle core that halts takes tens of microseconds to wake, on a virtual machine more, and now and
then; and two processes that take turns are quicker on one core than on two. Both make a floor
of 0.05 ms jump by half between rounds, and both are the same for all contestants.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PM_QOS = Path("/dev/cpu_dma_latency")
"""Linux: as long as somebody holds it open with 0, idle cores wait awake. Root's alone."""
AWAKE = (0).to_bytes(4, "little")


@contextmanager
def awake_cores() -> Iterator[bool]:
    """Let no core halt until the block ends; gives whether this machine lets us."""
    try:
        held = os.open(PM_QOS, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        os.write(held, AWAKE)
        yield True
    finally:
        os.close(held)


def part(client: int, *servers: int, beside: int) -> None:
    """Give the load a core of its own, and each server all the others; on one core do nothing.

    Args:
        client: process id of the load.
        servers: process ids of those who hear it.
        beside: of a floor that only takes turns with the client, and is steady on its core; how far
            two cores are apart is the host's choice, and changes by the second.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    first, *others = sorted(os.sched_getaffinity(0))
    if others:
        _keep(client, [first])
        _keep(beside, [first])
        for server in servers:
            _keep(server, others)


def _keep(pid: int, cores: list[int]) -> None:
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, cores)
