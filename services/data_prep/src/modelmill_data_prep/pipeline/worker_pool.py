"""Who runs the workers: the one difference between one process, all cores and a cluster."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Protocol

Step = Literal["first", "make", "vet", "second"]


class WorkerPool(Protocol):
    """Calls a method of a `RowWorker` for each task, in any of its processes.

    Results come in the order of the tasks. Only a bounded number of tasks is taken ahead of the
    results, so that neither fills the memory. What a worker raises is raised here.
    """

    def map(self, step: Step, tasks: Iterable[Any]) -> Iterator[Any]:
        """The results of `step`, called with each task."""
        ...

    def __enter__(self) -> "WorkerPool": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all workers; tasks that have not begun are forgotten."""
        ...
