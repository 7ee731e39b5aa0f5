"""Workers on the nodes of a Ray cluster.

Imported only where a cluster is named: Ray is no dependency of the service. On every node the same
data-prep must be installed; one with another is refused.
"""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import ray
from modelmill_service_kit.errors import PreconditionError, UnavailableError
from modelmill_tokenization.chat_tokenizer import TOKENIZER_FILES
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from modelmill_data_prep.adapters.installed_code import code_fingerprint
from modelmill_data_prep.pipeline.row_worker import RowWorker
from modelmill_data_prep.pipeline.worker_parts import worker_of
from modelmill_data_prep.pipeline.worker_pool import Step

TASKS_AHEAD = 2
"""For each worker: one in work, one that waits for it."""

START_SECONDS = 30.0
"""So long is waited for workers; those that have not begun by then have no processor."""

MAX_ATTEMPTS = 3
"""A block that takes so many workers with it is given up."""

_GONE = (RayActorError, NodeDiedError, ObjectLostError, WorkerCrashedError)


@dataclass(frozen=True)
class Workplace:
    """Where a worker runs, and what it makes rows with."""

    node: str
    process: int
    fingerprint: str


class _RayWorker:
    """A `RowWorker` on a node, made when it is told to, so that its errors reach the driver."""

    _worker: RowWorker

    def begin(self, request: Mapping[str, Any], tokenizer: Mapping[str, bytes]) -> Workplace:
        with TemporaryDirectory() as folder:
            if tokenizer:
                _write(Path(folder), tokenizer)
                request = {**request, "tokens": {**request["tokens"], "folder": folder}}
            self._worker = worker_of(request)
        node = ray.get_runtime_context().get_node_id()
        return Workplace(node, os.getpid(), code_fingerprint(_pipelines(request)))

    def work(self, step: Step, task: Any) -> Any:
        return getattr(self._worker, step)(task)


@dataclass(frozen=True)
class _Begun:
    """A task in work."""

    worker: Any
    result: Any
    step: Step
    task: Any


class RayPool:
    """One worker for each processor of the cluster that is free.

    A worker that dies takes no rows with it: its tasks go to the others, which make the same of
    them.

    Args:
        request: What workers are made from, plain JSON.
        address: Of the cluster, "host:port" on one of its nodes, "ray://host:port" elsewhere.

    Raises:
        UnavailableError: No cluster answers there, or none of its processors is free.
        PreconditionError: A node has another data-prep than this machine.
    """

    def __init__(self, request: Mapping[str, Any], address: str) -> None:
        self._workers: list[Any] = []
        self.workplaces: list[Workplace] = []
        """Of all workers that have begun."""
        self._turn = 0
        _connect(address)
        try:
            made_from = {name: request[name] for name in ("spec", "pseudonym_key", "tokens")}
            self._hire(made_from, _tokenizer_of(request["tokens"]))
        except BaseException:
            ray.shutdown()
            raise

    def map(self, step: Step, tasks: Iterable[Any]) -> Iterator[Any]:
        """See `WorkerPool`.

        Raises:
            UnavailableError: No worker is left, or a task has ended several.
        """
        begun: deque[_Begun] = deque()
        for task in tasks:
            begun.append(self._begin(step, task))
            while len(begun) >= TASKS_AHEAD * len(self._workers):
                yield self._result(begun.popleft())
        while begun:
            yield self._result(begun.popleft())

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

    def _hire(self, request: Mapping[str, Any], tokenizer: Mapping[str, bytes]) -> None:
        count = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        # SPREAD, because a pool on one node would leave the others idle.
        remote = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(_RayWorker)
        # Once into the store of the cluster: a tokenizer has megabytes.
        files = ray.put(dict(tokenizer))
        applied = {}
        for _ in range(count):
            worker = remote.remote()
            applied[worker.begin.remote(dict(request), files)] = worker
        ready, _ = ray.wait(list(applied), num_returns=count, timeout=START_SECONDS)
        for result, worker in applied.items():
            if result in ready:
                self.workplaces.append(_raised(result))
                self._workers.append(worker)
            else:
                ray.kill(worker)
        if not ready:
            raise UnavailableError(
                f"no processor of the Ray cluster is free for {START_SECONDS:g} s"
            )
        self._check(code_fingerprint(_pipelines(request)))
        nodes = len({place.node for place in self.workplaces})
        print(f"{len(self._workers)} workers on {nodes} nodes", file=sys.stderr)

    def _check(self, fingerprint: str) -> None:
        strange = sorted({one.node for one in self.workplaces if one.fingerprint != fingerprint})
        if strange:
            raise PreconditionError(
                "data-prep, Python or a library that it uses has another version on Ray nodes "
                f"{', '.join(strange)} than here. Install the same on all"
            )

    def _begin(self, step: Step, task: Any) -> _Begun:
        if not self._workers:
            raise UnavailableError("no worker of the Ray cluster is left")
        worker = self._workers[self._turn % len(self._workers)]
        self._turn += 1
        return _Begun(worker, worker.work.remote(step, task), step, task)

    def _result(self, begun: _Begun) -> Any:
        for _ in range(MAX_ATTEMPTS):
            try:
                return _raised(begun.result)
            except _GONE:
                if begun.worker in self._workers:
                    self._workers.remove(begun.worker)
                begun = self._begin(begun.step, begun.task)
        raise UnavailableError(f"{MAX_ATTEMPTS} workers of the Ray cluster died of the same rows")


def _tokenizer_of(tokens: Mapping[str, Any] | None) -> dict[str, bytes]:
    """The files of the base model that make token ids: a node has no folder of this machine."""
    if tokens is None:
        return {}
    folder = Path(tokens["folder"])
    return {
        name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).is_file()
    }


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


CONNECTS = 3
SERVER_NOT_STARTED = "Initialization failure from server"
"""A cluster starts a process for each client from outside; at times it does not come up, and the
next one does."""


def _connect(address: str) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _begin_session(address)
    except (ConnectionError, RuntimeError) as error:
        raise UnavailableError(f"no Ray cluster answers at {address}: {error}") from error
    finally:
        # Ray takes the signal, and ends the process at it; a job's child gives its job back.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _begin_session(address: str) -> None:
    for left in reversed(range(CONNECTS)):
        try:
            ray.init(address=address, log_to_driver=False)
            return
        except ConnectionError as error:
            if not left or SERVER_NOT_STARTED not in str(error):
                raise


def _raised(result: Any) -> Any:
    """The result, or what the worker raised, as it raised it."""
    try:
        return ray.get(result)
    except RayTaskError as error:
        raise error.cause from error


def _pipelines(request: Mapping[str, Any]) -> list[str]:
    return sorted(request["spec"].get("entities", {}).get("spacy_models", {}).values())
