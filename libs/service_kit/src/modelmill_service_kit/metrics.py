"""Prometheus metrics of every service: page, build, process tree, disk and GPUs."""

import hmac
import importlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import psutil
from opentelemetry.trace import Span, format_trace_id
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
"""From the fastest verdict to the longest upload; see each histogram's own unit."""
READ_SECONDS = 5.0
"""Readers come one at a time, so one that says nothing is sent away."""
STOP_LOOK_SECONDS = 0.05
"""Between two looks whether to stop, for which the end of the process waits."""

RPC_SECONDS = Histogram(
    "modelmill_rpc_server_seconds",
    "Seconds a gRPC call took, streams until their end, by method and status.",
    ["method", "code"],
    buckets=SECONDS_BUCKETS,
)


def exemplar_of(span: Span) -> dict[str, str] | None:
    """The trace by which a measurement can be understood; None where it is recorded nowhere.

    Shown to readers that ask for OpenMetrics, as Prometheus does.
    """
    context = span.get_span_context()
    if not span.is_recording() or not context.trace_flags.sampled:
        return None
    return {"trace_id": format_trace_id(context.trace_id)}


class _QuietHandler(WSGIRequestHandler):
    timeout = READ_SECONDS

    def handle(self) -> None:
        """Answer one request; a reader that is too slow or gone is no error of ours."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes come every few seconds and say nothing worth a line."""


class _SharingServer(WSGIServer):
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


class MetricsPage:
    """/metrics on a port of its own, with authentication; serves until the block ends.

    Args:
        shown: what is on it.
        shares_port: other processes of the same service show theirs at the same address.
    """

    def __init__(
        self,
        address: str,
        secret: str,
        shown: Collector = REGISTRY,
        *,
        shares_port: bool = False,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._expected = f"Bearer {secret}".encode()
        self._app = make_wsgi_app(shown)
        server = _SharingServer if shares_port else WSGIServer
        self._server = make_server(host, int(port), self._answer, server, _QuietHandler)
        self.port: int = self._server.server_port

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode()
        if not hmac.compare_digest(given, self._expected):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"the service secret is missing or wrong\n"]
        return self._app(environ, start_response)  # type: ignore[no-any-return]

    def __enter__(self) -> "MetricsPage":
        threading.Thread(
            target=self._server.serve_forever,
            args=(STOP_LOOK_SECONDS,),
            daemon=True,
            name="metrics",
        ).start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


CACHE_SECONDS = 1.0
"""Looking through the process table costs milliseconds; who asks oftener gets the same again."""


def version_of(service: str) -> str:
    """The installed version of a service's package."""
    try:
        return version(f"modelmill-{service}")
    except PackageNotFoundError:
        return "unknown"


@contextmanager
def machine_metrics(
    service: str, disk: Path, registry: CollectorRegistry = REGISTRY
) -> Iterator[None]:
    """Within the block the registry also shows this process tree, its disk, its GPUs and its build.

    Args:
        disk: folder on the disk whose room is shown; the artifact store's.
    """
    collectors: list[Collector] = [BuildCollector(service), ProcessTreeCollector()]
    collectors += [DiskCollector(disk), GpuCollector()]
    for collector in collectors:
        registry.register(collector)
    try:
        yield
    finally:
        for collector in collectors:
            registry.unregister(collector)


class BuildCollector(Collector):
    """Build information of the service."""

    def __init__(self, service: str) -> None:
        self._labels = [service, version_of(service)]

    def collect(self) -> Iterable[Metric]:
        build = GaugeMetricFamily(
            "modelmill_build_info",
            "Always 1; the labels say what runs.",
            labels=["service", "version"],
        )
        build.add_metric(self._labels, 1)
        yield build


class _Use(NamedTuple):
    resident_bytes: int
    cpu_seconds: float


class ProcessTreeCollector(Collector):
    """Memory and processor time of this process and all its descendants.

    Engines and trainers are children, and hold nearly all of both. Shared pages count once in each
    process that maps them, so the memory is an upper bound.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = psutil.Process()
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._last = _Use(0, 0.0)

    def collect(self) -> Iterable[Metric]:
        use = self._use()
        yield GaugeMetricFamily(
            "modelmill_process_tree_resident_bytes",
            "Resident memory of the process and its children.",
            value=use.resident_bytes,
        )
        yield CounterMetricFamily(
            "modelmill_process_tree_cpu_seconds",
            "Processor time of the process and its children, those that ended included.",
            value=use.cpu_seconds,
        )

    def _use(self) -> _Use:
        with self._lock:
            if self._clock() - self._read_at >= CACHE_SECONDS:
                read = self._read()
                # A child that ends while it is read may be missed once; a counter must not fall.
                cpu_seconds = max(read.cpu_seconds, self._last.cpu_seconds)
                self._last = _Use(read.resident_bytes, cpu_seconds)
                self._read_at = self._clock()
            return self._last

    def _read(self) -> _Use:
        resident_bytes, cpu_seconds = 0, 0.0
        for process in (self._root, *self._root.children(recursive=True)):
            with suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                # The times of children that ended are kept by their parent.
                cpu_seconds += times.user + times.system
                cpu_seconds += times.children_user + times.children_system
                resident_bytes += process.memory_info().rss
        return _Use(resident_bytes, cpu_seconds)


class DiskCollector(Collector):
    """Free space of the disk of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        # The folder may not be there yet; a missing series says so better than a wrong one.
        with suppress(OSError):
            usage = psutil.disk_usage(str(self._folder))
            yield GaugeMetricFamily(
                "modelmill_artifact_disk_free_bytes",
                "Free bytes on the disk of the artifact store.",
                value=usage.free,
            )
            yield GaugeMetricFamily(
                "modelmill_artifact_disk_bytes",
                "Size of the disk of the artifact store.",
                value=usage.total,
            )


class GpuCollector(Collector):
    """Memory and use of every GPU that NVML answers for; nothing where there is none.

    The figures are the machine's, so every process on it shows the same.
    """

    def __init__(self) -> None:
        self._nvml: Any = None
        # A library without a driver, and a driver without a library, are both common.
        with suppress(Exception):
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            self._nvml = nvml

    def collect(self) -> Iterable[Metric]:
        if self._nvml is None:
            return
        used = GaugeMetricFamily(
            "modelmill_gpu_memory_used_bytes", "Memory in use on the GPU.", labels=["gpu"]
        )
        utilization = GaugeMetricFamily(
            "modelmill_gpu_utilization_ratio",
            "Share of the last sampling period in which a kernel ran on the GPU, from 0 to 1.",
            labels=["gpu"],
        )
        for number in range(self._nvml.nvmlDeviceGetCount()):
            # A GPU that is being reset, or cut into parts, does not answer every question.
            with suppress(self._nvml.NVMLError):
                handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
                used.add_metric([str(number)], self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
                utilization.add_metric([str(number)], rates.gpu / 100)
        yield from (used, utilization)
