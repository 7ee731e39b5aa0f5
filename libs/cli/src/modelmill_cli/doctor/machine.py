"""Checks of the machine: disk, memory, open files, GPUs."""

import importlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from modelmill_service_kit.checks import Check, FindingSeverity, Symptom
from modelmill_service_kit.machine_size import free_memory, this_machine

from modelmill_cli.doctor.examined import Examined, Machine
from modelmill_cli.tables import data_size

PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"
"""A vendor, and how the class of a graphics processor begins."""
FSYNC_TRIES, FSYNC_SECONDS, FSYNC_BYTES = 25, 2.0, 4096
LEAST_FSYNCS = 20.0
"""A second: each order of a job waits for several."""
LEAST_DISK_BYTES, LEAST_SHARE = 2 << 30, 0.05
LEAST_MEMORY_BYTES = 512 << 20
LEAST_OPEN_FILES = 1024
CUDA_PACKAGES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11")


def examine_machine(folder: Path, pci_devices: Path = PCI_DEVICES) -> Machine:
    """Measure and count; takes 2 s at most.

    Args:
        folder: on the disk that is measured; its nearest parent where it is not there yet.
    """
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    disk = os.statvfs(there)
    answering, driver_cuda = _gpus_that_answer()
    return Machine(
        disk_bytes=disk.f_blocks * disk.f_frsize,
        disk_free_bytes=disk.f_bavail * disk.f_frsize,
        inodes=disk.f_files,
        inodes_free=disk.f_favail,
        fsyncs_per_second=_fsyncs_per_second(there),
        memory_bytes=this_machine().memory_bytes,
        memory_free_bytes=free_memory(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        gpus_present=sum(map(_is_gpu, pci_devices.glob("*"))),
        gpus_answering=answering,
        driver_cuda=driver_cuda,
    )


def runtime_cuda() -> int | None:
    """Major version of CUDA of the installed libraries; None without any."""
    for name in CUDA_PACKAGES:
        with suppress(PackageNotFoundError, ValueError):
            return int(version(name).partition(".")[0])
    return None


def _fsyncs_per_second(folder: Path) -> float | None:
    try:
        # Without a name: nothing is left, also of a doctor that is killed.
        with tempfile.TemporaryFile(dir=folder) as file:
            begun, done = time.monotonic(), 0
            while done < FSYNC_TRIES and time.monotonic() - begun < FSYNC_SECONDS:
                file.write(b"\0" * FSYNC_BYTES)
                file.flush()
                os.fsync(file.fileno())
                done += 1
            return done / max(time.monotonic() - begun, 1e-6)
    except OSError:
        return None


def _is_gpu(device: Path) -> bool:
    with suppress(OSError):
        is_display = (device / "class").read_text().startswith(DISPLAY)
        return is_display and (device / "vendor").read_text().strip() == NVIDIA
    return False


def _gpus_that_answer() -> tuple[int, int | None]:
    """How many, and the newest CUDA that their driver runs; none without a driver."""
    nvml: Any = None
    with suppress(Exception):
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        return int(nvml.nvmlDeviceGetCount()), int(nvml.nvmlSystemGetCudaDriverVersion()) // 1000
    return 0, None


def disk_space(it: Examined) -> Iterator[Symptom]:
    """Free bytes on the disk of the state folder."""
    free, whole = it.machine.disk_free_bytes, it.machine.disk_bytes
    if free < max(LEAST_DISK_BYTES, LEAST_SHARE * whole):
        yield Symptom(
            f"{data_size(free)} of {data_size(whole)} are free on the disk of {it.state.path}",
            "Retire versions and datasets that nobody uses, run `mill store sweep`, or move"
            " --state to a larger disk",
        )


def disk_inodes(it: Examined) -> Iterator[Symptom]:
    """Files that the disk can still hold."""
    free, whole = it.machine.inodes_free, it.machine.inodes
    if whole and free < LEAST_SHARE * whole:
        yield Symptom(
            f"the disk of {it.state.path} has room for {free:,} more files of {whole:,}",
            "Delete small files there, or make the file system anew with more inodes",
        )


def fsync_rate(it: Examined) -> Iterator[Symptom]:
    """How often a second something can be made durable."""
    rate = it.machine.fsyncs_per_second
    if rate is not None and rate < LEAST_FSYNCS:
        yield Symptom(
            f"the disk of {it.state.path} makes {rate:.1f} writes a second durable, and"
            f" {LEAST_FSYNCS:.0f} are needed",
            "Put --state on a local SSD; network folders and USB disks are too slow for the broker",
        )


def memory_free(it: Examined) -> Iterator[Symptom]:
    """Memory that is available."""
    if it.machine.memory_free_bytes < LEAST_MEMORY_BYTES:
        yield Symptom(
            f"{data_size(it.machine.memory_free_bytes)} of memory are available",
            "End what else runs here, load fewer versions, or raise the container's memory limit",
        )


def open_files(it: Examined) -> Iterator[Symptom]:
    """The limit of open files of a process."""
    if it.machine.open_files < LEAST_OPEN_FILES:
        yield Symptom(
            f"a process may have {it.machine.open_files} open files; each connection takes one",
            f"Run `ulimit -n {4 * LEAST_OPEN_FILES}` before `mill up`, or raise LimitNOFILE of its"
            " unit",
        )


def gpu_driver(it: Examined) -> Iterator[Symptom]:
    """GPUs for which no driver answers."""
    silent = it.machine.gpus_present - it.machine.gpus_answering
    if silent > 0:
        yield Symptom(
            f"{silent} of {it.machine.gpus_present} NVIDIA GPUs of this machine do not answer",
            "Install the driver, see `nvidia-smi`, and give a container its GPUs (`--gpus all`)",
        )


def gpu_cuda(it: Examined) -> Iterator[Symptom]:
    """Whether the driver runs the CUDA of the installed torch."""
    needed, offered = it.installed.runtime_cuda, it.machine.driver_cuda
    if needed is not None and offered is not None and needed > offered:
        yield Symptom(
            f"torch needs CUDA {needed}, and the GPU's driver runs CUDA {offered} at most",
            f"Install a driver for CUDA {needed}, or a torch that was built for CUDA {offered}",
        )


CHECKS = (
    Check(
        "disk-space",
        FindingSeverity.ERROR,
        "at least 2 GiB and 5 % of the disk are free",
        disk_space,
    ),
    Check("disk-inodes", FindingSeverity.ERROR, "at least 5 % of the inodes are free", disk_inodes),
    Check("fsync-rate", FindingSeverity.ERROR, "at least 20 durable writes a second", fsync_rate),
    Check(
        "memory-free",
        FindingSeverity.WARNING,
        "at least 512 MiB of memory are available",
        memory_free,
    ),
    Check("open-files", FindingSeverity.WARNING, "a process may have 1,024 open files", open_files),
    Check(
        "gpu-driver",
        FindingSeverity.WARNING,
        "each NVIDIA GPU has a driver that answers",
        gpu_driver,
    ),
    Check(
        "gpu-cuda",
        FindingSeverity.ERROR,
        "the driver runs the CUDA of the installed torch",
        gpu_cuda,
    ),
)
