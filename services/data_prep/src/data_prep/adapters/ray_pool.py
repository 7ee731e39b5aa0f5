"""Workers on the nodes of a Ray cluster.

Imported only where a cluster is named: Ray lives in an environment of its own, in which this
package is installed too, on every node in the same version.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import ray

from data_prep.pipeline.worker_parts import worker_of
from data_prep.pipeline.worker_pool import Step

TASKS_AHEAD = 2
"""For each worker: one in work, one that waits for it."""


class _RayWorker:
    """A `RowWorker` on a node."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._worker = worker_of(request)

    def work(self, step: Step, task: Any) -> Any:
        return getattr(self._worker, step)(task)


class RayPool:
    """One worker for each processor of the cluster.

    Args:
        request: What workers are made from, plain JSON.
        address: Of the cluster, "ray://host:port" or "host:port".
    """

    def __init__(self, request: Mapping[str, Any], address: str) -> None:
        ray.init(address=address, log_to_driver=False, include_dashboard=False)
        count = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        # SPREAD, because a pool on one node would leave the others idle.
        remote = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(_RayWorker)
        self._workers = [remote.remote(dict(request)) for _ in range(count)]

    def map(self, step: Step, tasks: Iterable[Any]) -> Iterator[Any]:
        """See `WorkerPool`."""
        results: deque[Any] = deque()
        for number, task in enumerate(tasks):
            worker = self._workers[number % len(self._workers)]
            results.append(worker.work.remote(step, task))
            if len(results) >= TASKS_AHEAD * len(self._workers):
                yield ray.get(results.popleft())
        while results:
            yield ray.get(results.popleft())

    def __enter__(self) -> "RayPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            ray.kill(worker)
        ray.shutdown()
