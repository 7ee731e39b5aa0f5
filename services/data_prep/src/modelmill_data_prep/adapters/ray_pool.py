"""Worker pool on a Ray cluster.

Imported only if a cluster is configured: Ray is not a dependency of the service. Every node must
have the same data-prep installed; others are rejected.
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
from modelmill_data_prep.pipeline.row_worker import RowWorker, Step
from modelmill_data_prep.pipeline.worker_parts import worker_of

TASKS_AHEAD = 2
"""Tasks per worker: one running, one queued."""

START_SECONDS = 30.0
"""Timeout for workers to start; those that have not started by then have no free CPU."""

MAX_ATTEMPTS = 3
"""Attempts per block, after which the block is assumed to kill workers."""

_GONE = (RayActorError, NodeDiedError, ObjectLostError, WorkerCrashedError)


@dataclass(frozen=True)
class RayWorkerInfo:
    """Node, process and code fingerprint of a worker."""

    node: str
    process: int
    fingerprint: str


class _RayWorker:
    """Ray actor around a `RowWorker`, which `begin` creates, so that errors reach the driver."""

    _worker: RowWorker

    def begin(self, request: Mapping[str, Any], tokenizer: Mapping[str, bytes]) -> RayWorkerInfo:
        with TemporaryDirectory() as folder:
            if tokenizer:
                _write(Path(folder), tokenizer)
                request = {**request, "tokens": {**request["tokens"], "folder": folder}}
            self._worker = worker_of(request)
        node = ray.get_runtime_context().get_node_id()
        return RayWorkerInfo(node, os.getpid(), code_fingerprint(_pipelines(request)))

    def work(self, step: Step, task: Any) -> Any:
        return getattr(self._worker, step)(task)


@dataclass(frozen=True)
class _PendingTask:
    """A submitted task."""

    worker: Any
    result: Any
    step: Step
    task: Any


class RayPool:
    """One worker per free CPU of the cluster.

    Tasks of a dead worker are resubmitted to others, which produce the same result.


    Args:
        request: Worker configuration, plain JSON.
        address: "host:port" from a node of the cluster, "ray://host:port" from elsewhere.

    Raises:
        UnavailableError: The cluster does not answer, or has no free CPU.
        PreconditionError: A node has other code than this machine.
    """

    def __init__(self, request: Mapping[str, Any], address: str) -> None:
        self._workers: list[Any] = []
        self.worker_infos: list[RayWorkerInfo] = []
        """Of all started workers."""
        self._turn = 0
        _connect(address)
        try:
            made_from = {name: request[name] for name in ("spec", "pseudonym_key", "tokens")}
            self._start_workers(made_from, _tokenizer_of(request["tokens"]))
        except BaseException:
            ray.shutdown()
            raise

    def map(self, step: Step, tasks: Iterable[Any]) -> Iterator[Any]:
        """See `WorkerPool`.

        Raises:
            UnavailableError: No worker is left, or a task has killed several.
        """
        pending: deque[_PendingTask] = deque()
        for task in tasks:
            pending.append(self._begin(step, task))
            while len(pending) >= TASKS_AHEAD * len(self._workers):
                yield self._result(pending.popleft())
        while pending:
            yield self._result(pending.popleft())

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

    def _start_workers(self, request: Mapping[str, Any], tokenizer: Mapping[str, bytes]) -> None:
        count = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        # SPREAD, because Ray packs actors on one node by default.
        remote = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(_RayWorker)
        # Put into the object store once: a tokenizer has megabytes.
        files = ray.put(dict(tokenizer))
        applied = {}
        for _ in range(count):
            worker = remote.remote()
            applied[worker.begin.remote(dict(request), files)] = worker
        ready, _ = ray.wait(list(applied), num_returns=count, timeout=START_SECONDS)
        for result, worker in applied.items():
            if result in ready:
                self.worker_infos.append(_raised(result))
                self._workers.append(worker)
            else:
                ray.kill(worker)
        if not ready:
            raise UnavailableError(
                f"no processor of the Ray cluster is free for {START_SECONDS:g} s"
            )
        self._check(code_fingerprint(_pipelines(request)))
        nodes = len({place.node for place in self.worker_infos})
        print(f"{len(self._workers)} workers on {nodes} nodes", file=sys.stderr)

    def _check(self, fingerprint: str) -> None:
        mismatched = sorted(
            {one.node for one in self.worker_infos if one.fingerprint != fingerprint}
        )
        if mismatched:
            raise PreconditionError(
                "data-prep, Python or a library that it uses has another version on Ray nodes "
                f"{', '.join(mismatched)} than here. Install the same on all"
            )

    def _begin(self, step: Step, task: Any) -> _PendingTask:
        if not self._workers:
            raise UnavailableError("no worker of the Ray cluster is left. Check its nodes")
        worker = self._workers[self._turn % len(self._workers)]
        self._turn += 1
        return _PendingTask(worker, worker.work.remote(step, task), step, task)

    def _result(self, pending: _PendingTask) -> Any:
        for _ in range(MAX_ATTEMPTS):
            try:
                return _raised(pending.result)
            except _GONE:
                if pending.worker in self._workers:
                    self._workers.remove(pending.worker)
                pending = self._begin(pending.step, pending.task)
        raise UnavailableError(f"{MAX_ATTEMPTS} workers of the Ray cluster died of the same rows")


def _tokenizer_of(tokens: Mapping[str, Any] | None) -> dict[str, bytes]:
    """Tokenizer files by name, because nodes do not share this machine's file system."""
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
"""The cluster starts a server process per remote client, which sometimes fails; a retry
succeeds."""


def _connect(address: str) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _begin_session(address)
    except (ConnectionError, RuntimeError) as error:
        raise UnavailableError(f"no Ray cluster answers at {address}: {error}") from error
    finally:
        # Ray replaces the SIGTERM handler, by which a child process releases its job.
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
    """The result; re-raises the worker's original exception."""
    try:
        return ray.get(result)
    except RayTaskError as error:
        raise error.cause from error


def _pipelines(request: Mapping[str, Any]) -> list[str]:
    return sorted(request["spec"].get("entities", {}).get("spacy_models", {}).values())
