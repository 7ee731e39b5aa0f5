"""Makes datasets in the environment of the cluster: `python -m tests.ray_cluster.making`.

Reads what to do as JSON from stdin; the last line of stdout is JSON.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from modelmill_data_prep import child
from modelmill_data_prep.adapters import ray_pool
from modelmill_data_prep.adapters.installed_code import code_fingerprint
from modelmill_data_prep.adapters.local_pool import LocalPool
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.source_files import SourceFile
from modelmill_data_prep.prepare_dataset import PrepareDataset
from modelmill_data_prep.prepare_in_child import tokens_plan
from modelmill_jobs.child import ChildPort
from modelmill_service_kit.errors import DomainError

LIMITS = ReadLimits(max_row_bytes=100_000, block_rows=250)

Asked = Mapping[str, Any]


def local(asked: Asked) -> dict[str, Any]:
    """With the processes of this machine."""
    with LocalPool(asked, 1) as pool:
        return {"root": _prepare(pool, asked, lambda: None)}


def cluster(asked: Asked) -> dict[str, Any]:
    """With the cluster, whose workers `kill` names are killed after the first block."""
    with ExitStack() as stack:
        pool = stack.enter_context(ray_pool.RayPool(asked, asked["ray_address"]))
        doomed = [worker.process for worker in pool.worker_infos][: asked["kill"]]

        def kill() -> None:
            while doomed:
                os.kill(doomed.pop(), signal.SIGKILL)

        root = _prepare(pool, asked, kill)
        return {"root": root, "nodes": [worker.node for worker in pool.worker_infos]}


def job(asked: Asked) -> dict[str, Any]:
    """As a job's child does it."""
    before = signal.getsignal(signal.SIGTERM)
    with open(os.devnull, "wb") as reports:
        port = ChildPort(dict(asked), Path(asked["folder"]).parent, reports.fileno())
        made = child.main(port)
    return {
        "root": made["merkle_root"],
        "signal_kept": signal.getsignal(signal.SIGTERM) is before,
    }


def reluctant(asked: Asked) -> dict[str, Any]:
    """With a cluster that does not start the client's server at first."""
    begin, failures = ray.init, ["Initialization failure from server: planted"]

    def init(**options: Any) -> Any:
        if failures:
            raise ConnectionAbortedError(failures.pop())
        return begin(**options)

    ray.init = init
    return cluster(asked)


def strange(asked: Asked) -> dict[str, Any]:
    """With nodes that have another data-prep than this process."""
    here = code_fingerprint
    ray_pool.code_fingerprint = lambda more=(): here((*more, "another"))  # type: ignore[attr-defined]
    return cluster(asked)


def _prepare(pool: Any, asked: Asked, after_block: Callable[[], None]) -> str:
    work = PrepareDataset(pool, lambda *_: after_block(), LIMITS, tokens_plan(asked["tokens"]))
    source, *evaluation = [SourceFile(Path(f["path"]), f["format"]) for f in asked["files"]]
    return work(source, evaluation, plan_dataset(asked["spec"]), Path(asked["folder"])).merkle_root


def main() -> None:
    """One dataset, or the error that it ended with."""
    asked = json.load(sys.stdin)
    ways = {each.__name__: each for each in (local, cluster, job, reluctant, strange)}
    try:
        answer = ways[asked["way"]](asked)
    except DomainError as error:
        answer = {"error": error.reason, "message": error.message}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
