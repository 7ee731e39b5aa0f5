"""What a worker offers to jobs: what this process may use of the machine, or what it was told."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from service_kit.machine_size import MachineSize, this_machine
from service_kit.settings import WorkerSettings


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
