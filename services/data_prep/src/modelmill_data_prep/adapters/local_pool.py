"""Worker pool of local processes."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from types import TracebackType
from typing import Any

from modelmill_data_prep.adapters.worker_server import without_pandas, worker_context
from modelmill_data_prep.pipeline.row_worker import RowWorker, Step

TASKS_AHEAD = 2
"""Tasks per process: one running, one queued."""

_worker: RowWorker | None = None
"""The worker of a pool process, created by its initializer."""


class LocalPool:
    """Uses all cores; a file with a single block is processed in this process.

    Args:
        request: Worker configuration, plain JSON.
        processes: At least 1; with 1 no process is started.
    """

    def __init__(self, request: Mapping[str, Any], processes: int) -> None:
        self._request = dict(request)
        self._processes = processes
        self._executor: ProcessPoolExecutor | None = None
        self._local_worker: RowWorker | None = None

    def map(self, step: Step, tasks: Iterable[Any]) -> Iterator[Any]:
        """See `WorkerPool`."""
        waiting = iter(tasks)
        first = list(islice(waiting, 2))
        if self._executor is None and (self._processes == 1 or len(first) < 2):
            return self._map_in_process(step, chain(first, waiting))
        return self._map_in_pool(step, chain(first, waiting))

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def _map_in_process(self, step: Step, tasks: Iterator[Any]) -> Iterator[Any]:
        if self._local_worker is None:
            self._local_worker = _worker_of(self._request)
        return map(getattr(self._local_worker, step), tasks)

    def _map_in_pool(self, step: Step, tasks: Iterator[Any]) -> Iterator[Any]:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._processes,
                mp_context=worker_context(),
                initializer=_init_worker,
                initargs=(self._request,),
            )
        executor = self._executor
        results: deque[Future[Any]] = deque()
        for task in tasks:
            results.append(executor.submit(_work, step, task))
            if len(results) >= TASKS_AHEAD * self._processes:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()


def _init_worker(request: Mapping[str, Any]) -> None:
    global _worker
    without_pandas()
    _worker = _worker_of(request)


def _worker_of(request: Mapping[str, Any]) -> RowWorker:
    # Imported lazily: a process that only distributes blocks does not need it.
    from modelmill_data_prep.pipeline.worker_parts import worker_of

    return worker_of(request)


def _work(step: Step, task: Any) -> Any:
    assert _worker is not None
    return getattr(_worker, step)(task)
