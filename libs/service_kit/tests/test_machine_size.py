"""What a worker offers to jobs: what this process may use of the machine, or what it was told."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from modelmill_service_kit.machine_size import (
    MachineSize,
    free_memory,
    resident_memory,
    this_machine,
)
from modelmill_service_kit.settings import WorkerSettings
from modelmill_testkit.waiting import eventually
from pydantic import ValidationError


def limits(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


def test_without_limits_all_that_the_machine_has_is_offered(tmp_path: Path):
    size = this_machine(limits(tmp_path, cpu_max="max 100000\n", memory_max="max\n"))

    assert size.cpus == len(os.sched_getaffinity(0))
    assert size.memory_bytes == psutil.virtual_memory().total


def test_the_limits_of_a_container_count_and_not_the_machine_around_it(tmp_path: Path):
    size = this_machine(limits(tmp_path, cpu_max="50000 100000\n", memory_max="1000000\n"))

    assert (size.cpus, size.memory_bytes) == (0.5, 1_000_000)


def test_what_is_left_of_a_containers_limit_is_free_and_cached_files_count_as_left(tmp_path: Path):
    files = {
        "memory_max": "1000000\n",
        "memory_current": "700000\n",
        "memory_stat": "anon 400000\ninactive_file 90000\nactive_file 10000\n",
    }

    assert free_memory(limits(tmp_path, **files)) == 400_000


def test_without_a_limit_or_without_figures_the_machines_free_memory_counts(tmp_path: Path):
    available = psutil.virtual_memory().available

    for files in ({}, {"memory_max": "max\n"}):
        assert 0.2 * available < free_memory(limits(tmp_path, **files)) < 5 * available
    assert free_memory(limits(tmp_path, memory_max="1000\n", memory_current="x")) == 1000


async def test_what_a_process_holds_counts_with_those_below_it():
    code = "import sys; b = bytearray(b'x' * 60_000_000); sys.stdin.read()"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", nested), stdin=asyncio.subprocess.PIPE
    )
    try:
        await eventually(lambda: resident_memory(process.pid) > 60_000_000)
        assert resident_memory(process.pid) < 160_000_000
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    assert resident_memory(process.pid) == 0


def settings(**changes: Any) -> WorkerSettings:
    given = {"nats_url": "nats://none", "nats_token": "none", "service_secret": "none"}
    return WorkerSettings(**given, artifact_root="/data", work_root="/work", **changes)


def test_what_an_operator_says_is_offered_in_its_place():
    told = settings(worker_memory_bytes=5, worker_gpus=2, worker_gpu_memory_bytes=7).worker_size

    assert told == MachineSize(this_machine().cpus, 5, 2, 7)


@pytest.mark.parametrize("change", [{"worker_cpus": 0}, {"jobs_per_tenant": -1}])
def test_a_size_or_limit_that_makes_no_sense_is_refused(change: dict[str, Any]):
    with pytest.raises(ValidationError):
        settings(**change)
