"""Machine resources: what this process may use, and what a piece of work needs.

Inside a container the limits of its control group count, not the machine around it.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MachineSize:
    """Processor cores, memory and GPUs, available or required."""

    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: int = 0
    gpu_memory_bytes: int = 0
    """Of each GPU; of GPUs that differ the smallest."""


def this_machine(control_group: Path = CONTROL_GROUP) -> MachineSize:
    """Resources that this process may use.

    Args:
        control_group: folder of its limits; may lack any of them.
    """
    memories = tuple(_gpu_memories())
    return MachineSize(
        cpus=min(float(len(os.sched_getaffinity(0))), _cpu_quota(control_group)),
        memory_bytes=min(psutil.virtual_memory().total, _memory_limit(control_group)),
        gpus=len(memories),
        gpu_memory_bytes=min(memories, default=0),
    )


def free_memory(control_group: Path = CONTROL_GROUP) -> int:
    """Available memory in bytes; the kernel's page cache counts as free."""
    return min(psutil.virtual_memory().available, _memory_left(control_group))


def resident_memory(pid: int) -> int:
    """Proportional set size of a process and its descendants, in bytes.

    0 when it is gone. Takes milliseconds: the kernel walks the pages.
    """
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(map(_share, processes))


def _share(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        try:
            return int(process.memory_full_info().pss)
        except (psutil.AccessDenied, AttributeError):  # no smaps here
            return int(process.memory_info().rss)
    return 0


def _memory_left(folder: Path) -> int:
    """Of the control group's limit; a large number where there is none."""
    limit = _memory_limit(folder)
    # The second of each is of control groups of version 1.
    for used, stat, prefix in (
        ("memory.current", "memory.stat", ""),
        ("memory/memory.usage_in_bytes", "memory/memory.stat", "total_"),
    ):
        with suppress(OSError, ValueError):
            taken = int((folder / used).read_text())
            cached = _of_files((folder / stat).read_text(), prefix)
            return max(0, limit - taken + cached)
    return limit


def _of_files(stat: str, prefix: str) -> int:
    rows = dict(line.split() for line in stat.splitlines())
    return sum(int(rows.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))


def _cpu_quota(folder: Path) -> float:
    """Cores, from "quota period" in microseconds; "max" and an unknown form mean no limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    return float("inf")


def _memory_limit(folder: Path) -> int:
    # The second is the name in control groups of version 1.
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            return int((folder / name).read_text())
    return 2**63


def _gpu_memories() -> Iterator[int]:
    """Bytes of each GPU that answers; nothing without a driver."""
    nvml: Any = None
    with suppress(Exception):
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        for number in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
            yield int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
