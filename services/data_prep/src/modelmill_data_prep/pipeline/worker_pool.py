"""Worker pool interface: one process, local processes, or a cluster."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Protocol

Step = Literal["first", "make", "vet", "second"]


class WorkerPool(Protocol):
    """Ordered parallel map over `RowWorker` methods.

    Results are in task order. Prefetching is bounded, so that memory is too. Exceptions of workers
    are re-raised.
    """

    def map(self, step: Step, tasks: Iterable[Any]) -> Iterator[Any]:
        """Call `step` with each task."""
        ...

    def __enter__(self) -> "WorkerPool": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all workers; pending tasks are dropped."""
        ...
