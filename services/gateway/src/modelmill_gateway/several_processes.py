"""Several gateways in one: processes that answer at the same ports, kept running by this one.

The kernel deals out connections among them. Each has its own bus connection, read models and leases
of budgets, like replicas. Limits that are the service's are shared out among them, and their
metrics are one page.
"""

import asyncio
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import LAME_DUCK, Ending, announce_ready
from modelmill_service_kit.process_supervisor import SupervisedProcess, python_module
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from modelmill_gateway.settings import Settings


async def serve_by_several(settings: Settings, stopping: asyncio.Event) -> None:
    """Keep the processes running until `stopping`, then let all of them drain.

    The first one also works on jobs, where this gateway is to. READY names the servers that they
    share, and the page that shows the metrics of all of them.

    Raises:
        UnavailableError: one of them does not start, or ends again and again.
        OSError: a port is taken.
    """
    with ExitStack() as held:
        shared = settings.shares_ports
        servers = {
            "GATEWAY_HTTP_ADDRESS": held.enter_context(_held(settings.http_address, shared)),
            "GATEWAY_GRPC_ADDRESS": held.enter_context(_held(settings.grpc_address, shared)),
        }
        processes = [
            SupervisedProcess(
                f"gateway-{number}",
                python_module("modelmill_gateway.main"),
                {**servers, **_own(settings, number)},
                _pass_on,
            )
            for number in range(settings.processes)
        ]
        try:
            async with asyncio.TaskGroup() as starting:
                for process in processes:
                    starting.create_task(process.start())
        except BaseExceptionGroup as group:
            await _stop(processes, settings, stopping)
            raise group.exceptions[0] from None
        try:
            page = held.enter_context(_metrics(settings, processes))
            announce_ready(**(processes[0].ports | {"metrics": page.port}))
            await _until(stopping, processes)
        finally:
            await _stop(processes, settings, stopping)


async def _until(stopping: asyncio.Event, processes: Sequence[SupervisedProcess]) -> None:
    told = asyncio.create_task(stopping.wait())
    kept = [asyncio.create_task(process.given_up()) for process in processes]
    try:
        done, _ = await asyncio.wait({told, *kept}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # raises what ended it, unless we were told to
    finally:
        for task in (told, *kept):
            task.cancel()
        await asyncio.gather(told, *kept, return_exceptions=True)


def _own(settings: Settings, number: int) -> dict[str, str]:
    """What one of them is told beyond what all inherit."""
    role = settings.role if number == 0 else "serve"
    most = settings.processes
    return {
        "GATEWAY_PROCESSES": "1",
        "GATEWAY_SHARES_PORTS": "true",
        "GATEWAY_PORT_SHARERS": str(most),
        "GATEWAY_METRICS_ADDRESS": "127.0.0.1:0",
        "GATEWAY_ROLE": role,
        "GATEWAY_TOKENS_IN_HAND": str(_share(settings.tokens_in_hand, most)),
        "GATEWAY_MAX_CONNECTIONS": str(_share(settings.max_connections, most)),
    }


def _share(limit: int, processes: int) -> int:
    """One process's part of the service's limit; 0 sets none and is none's."""
    return max(1, limit // processes) if limit else 0


def _metrics(settings: Settings, processes: Sequence[SupervisedProcess]) -> MetricsPage:
    numbered = {str(number): process for number, process in enumerate(processes)}
    secret = settings.service_secret.get_secret_value()
    merged = MergedMetrics(
        lambda: {number: process.ports["metrics"] for number, process in numbered.items()},
        lambda: {number: process.restarts for number, process in numbered.items()},
        secret,
    )
    address, shared = settings.metrics_address, settings.shares_ports
    return MetricsPage(address, secret, merged, shares_port=shared)


@contextmanager
def _held(address: str, shares_port: bool) -> Iterator[str]:
    """The address with its port, which is ours until the block ends, although we do not listen.

    Args:
        shares_port: a predecessor may listen there.
    """
    host, _, port = address.rpartition(":")
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Without it: whoever listens there already would share the port without a word.
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares_port))
        try:
            alone.bind((name, int(port)))
        except OSError as error:
            raise OSError(f"cannot listen on {address}: {error.strerror}") from error
        port = str(alone.getsockname()[1])
    with socket.socket(family) as holding:
        # Of a supervisor that holds the port for us, too.
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holding.bind((name, int(port)))
        yield f"{host}:{port}"


def _pass_on(_name: str, line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _stop(
    processes: Sequence[SupervisedProcess], settings: Settings, stopping: asyncio.Event
) -> None:
    ending = Ending.of(stopping, settings)

    async def stop(by: signal.Signals) -> None:
        longest = ending.longest_seconds
        await asyncio.gather(*(each.stop(within_seconds=longest, by=by) for each in processes))

    leaving = asyncio.create_task(stop(LAME_DUCK if ending.has_successor else signal.SIGTERM))
    was_cut = asyncio.create_task(ending.was_cut.wait())
    await asyncio.wait({leaving, was_cut}, return_when=asyncio.FIRST_COMPLETED)
    was_cut.cancel()
    if not leaving.done():
        await stop(signal.SIGTERM)
    await leaving


READ_SECONDS = 3.0
"""A page that takes longer is left out; Prometheus gives all of them ten."""
OF_THE_MACHINE = (
    *("modelmill_build_", "modelmill_process_tree_"),
    *("modelmill_artifact_disk_", "modelmill_gpu_"),
)
"""How names of metrics begin that are shown once."""
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class MergedMetrics(Collector):
    """The metrics pages of several processes as one, read whenever it is read.

    Each series of a process has the label `process`. What is the machine's rather than a process's
    is shown once, as this process knows it.

    Args:
        ports: of the pages on this machine, by the process's number; asked each time, for a
            process that is started again has another.
        restarts: how often each was started again.
        secret: that the pages want to be shown.
        own: what this process shows of the machine.
    """

    def __init__(
        self,
        ports: Callable[[], Mapping[str, int]],
        restarts: Callable[[], Mapping[str, int]],
        secret: str,
        own: Collector = REGISTRY,
    ) -> None:
        self._ports = ports
        self._restarts = restarts
        self._secret = secret
        self._own = own

    def collect(self) -> Iterable[Metric]:
        """Each metric once, with the series of all."""
        ports = self._ports()
        up = GaugeMetricFamily(
            "modelmill_gateway_process_up", "1 if the process showed its page.", labels=["process"]
        )
        merged: dict[str, Metric] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(ports))) as pool:
            pages = dict(zip(ports, pool.map(self._page, ports.values()), strict=True))
        for process, page in pages.items():
            up.add_metric([process], 0 if page is None else 1)
            _merge(merged, process, page or "")
        yield from (up, self._restarted())
        yield from (each for each in self._own.collect() if each.name.startswith(OF_THE_MACHINE))
        yield from merged.values()

    def _restarted(self) -> Metric:
        restarts = CounterMetricFamily(
            "modelmill_gateway_process_restarts",
            "Times that a process died and was started again.",
            labels=["process"],
        )
        for process, times in self._restarts().items():
            restarts.add_metric([process], times)
        return restarts

    def _page(self, port: int) -> str | None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {self._secret}"}
        )
        try:
            with NO_PROXY.open(request, timeout=READ_SECONDS) as answer:
                return str(answer.read().decode())
        except OSError:
            return None


def _merge(merged: dict[str, Metric], process: str, page: str) -> None:
    for family in text_string_to_metric_families(page):
        if family.name.startswith(OF_THE_MACHINE):
            continue
        kept = merged.setdefault(
            family.name, Metric(family.name, family.documentation, family.type)
        )
        for sample in family.samples:
            labels = {**sample.labels, "process": process}
            kept.samples.append(sample._replace(labels=labels))
