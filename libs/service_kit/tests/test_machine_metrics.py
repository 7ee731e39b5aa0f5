"""The figures of a process count its children, and GPUs only where there are any."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from modelmill_service_kit.metrics import ProcessTreeCollector, machine_metrics, version_of
from prometheus_client import CollectorRegistry

MEGABYTE = 1_000_000
BUSY_CHILD = """
import sys, time
held = bytearray(80_000_000)
until = time.process_time() + 0.2
while time.process_time() < until: pass
print("up", flush=True)
sys.stdin.read()
"""


@contextmanager
def busy_child() -> Iterator[None]:
    """A child that holds 80 MB and has used 0.2 s of processor time."""
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        yield
        child.communicate()


def shown(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_children_count_while_they_live_and_their_processor_time_afterwards():
    clock, registry = Clock(), CollectorRegistry()
    registry.register(ProcessTreeCollector(clock))

    def use() -> tuple[float, float]:
        clock.now += 1.0
        resident = shown(registry, "modelmill_process_tree_resident_bytes")
        cpu_seconds = shown(registry, "modelmill_process_tree_cpu_seconds_total")
        assert resident is not None
        assert cpu_seconds is not None
        return resident, cpu_seconds

    alone = use()
    with busy_child():
        together = use()
    after = use()
    assert together[0] - alone[0] > 80 * MEGABYTE
    assert together[1] - alone[1] >= 0.2
    assert after[0] < together[0] - 60 * MEGABYTE
    assert after[1] >= together[1]


def test_two_readers_within_a_second_get_one_look_at_the_process_table():
    clock, registry = Clock(), CollectorRegistry()
    registry.register(ProcessTreeCollector(clock))
    before = shown(registry, "modelmill_process_tree_resident_bytes")
    with busy_child():
        clock.now += 0.9
        assert shown(registry, "modelmill_process_tree_resident_bytes") == before


def test_build_and_disk_are_shown_while_the_process_runs(tmp_path):
    registry = CollectorRegistry()
    with machine_metrics("service-kit", tmp_path, registry):
        labels = {"service": "service-kit", "version": version_of("service-kit")}
        assert shown(registry, "modelmill_build_info", **labels) == 1
        free = shown(registry, "modelmill_artifact_disk_free_bytes")
        size = shown(registry, "modelmill_artifact_disk_bytes")
        assert 0 < free < size
    assert shown(registry, "modelmill_build_info", **labels) is None


class NvmlError(Exception):
    """As the library's own."""


def nvml_of_two_gpus() -> SimpleNamespace:
    """The library's functions on a machine whose second GPU does not answer."""

    def memory(handle: int) -> SimpleNamespace:
        if handle == 1:
            raise NvmlError("GPU is lost")
        return SimpleNamespace(used=3 * MEGABYTE)

    return SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=25),
    )


def test_gpus_that_answer_are_shown(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pynvml", nvml_of_two_gpus())
    registry = CollectorRegistry()
    with machine_metrics("service-kit", tmp_path, registry):
        assert shown(registry, "modelmill_gpu_memory_used_bytes", gpu="0") == 3 * MEGABYTE
        assert shown(registry, "modelmill_gpu_utilization_ratio", gpu="0") == 0.25
        assert shown(registry, "modelmill_gpu_memory_used_bytes", gpu="1") is None


@pytest.mark.parametrize("library", [None, SimpleNamespace(nvmlInit=lambda: 1 / 0)])
def test_without_library_or_driver_there_are_no_gpu_series(monkeypatch, tmp_path, library):
    monkeypatch.setitem(sys.modules, "pynvml", library)
    registry = CollectorRegistry()
    with machine_metrics("service-kit", tmp_path, registry):
        names = {metric.name for metric in registry.collect()}
    assert names
    assert not any("gpu" in name for name in names)
