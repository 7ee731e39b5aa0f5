"""The metrics pages of several processes as one, so that who scrapes needs to know one address.

Each series of a process has the label `process`. What is the machine's rather than a process's is
shown once, as the process knows it that started the others.
"""

import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

READ_SECONDS = 3.0
"""A page that takes longer is left out; Prometheus gives all of them ten."""
OF_THE_MACHINE = (
    *("modelmill_build_", "modelmill_process_tree_"),
    *("modelmill_artifact_disk_", "modelmill_gpu_"),
)
"""How names of metrics begin that are shown once."""
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class MergedMetrics(Collector):
    """Reads the pages whenever it is read.

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
