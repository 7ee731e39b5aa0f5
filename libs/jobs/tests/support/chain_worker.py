"""A handler for chain jobs, and a worker process around it that tests may kill."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from chain_job import chain
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import MODEL_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.announcements import further_version
from modelmill_jobs.children import OnQuestion
from modelmill_jobs.worker import Worker
from modelmill_service_kit.errors import DomainError, UnavailableError

SUPPORT = str(Path(__file__).parent)


class ChainHandler:
    """Runs chain_job in a child; checkpoints are folders under `store`, named by their step."""

    kind = "train"

    def __init__(self, store: Path, **changes: Any) -> None:
        self._store = store
        self._changes = changes
        self.ready = True
        self.on_question: OnQuestion | None = None
        self.about = ""
        self.store_away_for = 0
        """How many checkpoints from now on find the store away."""
        self.most_kept = 0
        """Checkpoints in the store at any time."""

    async def is_ready(self, request: JobRequested) -> bool:
        return self.ready

    async def __call__(self, job: ActiveJob) -> JobResult:
        spec = dict(job.spec(Struct))
        began = {"value": "", "step": 0}
        if job.checkpoint is not None:
            began = json.loads((self._store / job.checkpoint.digest / "state.json").read_text())
        request = {**spec, **self._changes, **began, "job_id": job.job_id}
        request["steps"] = int(request["steps"])
        result = await job.run_child(
            "chain_job",
            request,
            on_checkpoint=lambda folder, step: self._keep(job, folder, step),
            on_saved=lambda named: self._let_go(job, named),
            on_question=self.on_question,
            env={"PYTHONPATH": SUPPORT},
            about=self.about,
        )
        return result_of(job, result)

    async def _keep(self, job: ActiveJob, folder: Path, step: int) -> str:
        if self.store_away_for:
            self.store_away_for -= 1
            raise UnavailableError("the store is away")
        digest = f"{job.job_id}-{job.fence}-{step}"
        shutil.copytree(folder, self._store / digest)
        self.most_kept = max(self.most_kept, len(list(self._store.iterdir())))
        return digest

    async def _let_go(self, job: ActiveJob, named: Collection[str]) -> None:
        """Delete what no state names; what a later claim wrote is none of ours."""
        for folder in self._store.glob(f"{job.job_id}-*"):
            fence = int(folder.name.split("-")[-2])
            if fence <= job.fence and folder.name not in named:
                shutil.rmtree(folder)

    async def clear(self, job_id: str) -> None:
        """Delete what a job saved that will not go on."""
        for folder in self._store.glob(f"{job_id}-*"):
            shutil.rmtree(folder)


class InProcess(ChainHandler):
    """Work in the handler itself: waits for `go`, then does what it was told."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(Path())
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.failure = failure

    async def __call__(self, job: ActiveJob) -> JobResult:
        self.began.set()
        await job.report("wait")
        await self.go.wait()
        if self.failure:
            raise self.failure
        return result_of(job, {"value": chain(job.job_id, 1)})


def result_of(job: ActiveJob, result: dict[str, Any]) -> JobResult:
    """A success with the announcement that a trainer would make."""
    version_id = derived_id("mv", job.job_id)
    summary, announcement = Struct(), Struct()
    summary.update(result)
    announcement.update({"version_id": version_id, "tenant": job.tenant, "job_id": job.job_id})
    return JobResult(
        digest=result["value"],
        version_id=version_id,
        announce_subject=MODEL_READY,
        announcement=announcement,
        summary=summary,
    )


class MakesMore(ChainHandler):
    """Makes a second version beside the one that was asked for."""

    async def __call__(self, job: ActiveJob) -> JobResult:
        result = await super().__call__(job)
        body = ModelReady(version_id="mv-more", tenant=job.tenant, job_id=job.job_id)
        result.further.append(further_version("mv-more", body))
        return result


class FindsAndMakesMore(MakesMore):
    """What was asked for was there before; only the second version is new."""

    async def __call__(self, job: ActiveJob) -> JobResult:
        result = await super().__call__(job)
        result.ClearField("announcement")
        return result


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def die() -> None:
    """As `kill -9` would."""
    os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    options = json.loads(sys.argv[1])
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with Bus.connect(options["url"], options["token"], name="trainer") as bus:
        handler = ChainHandler(Path(options["store"]), **options.get("changes", {}))
        worker = Worker(
            bus,
            [handler],
            service="trainer",
            work_root=Path(options["work_root"]),
            claim_seconds=options["claim_seconds"],
            after_commit=die if options.get("die_after_commit") else lambda: None,
            after_success=handler.clear,
        )
        await worker.run(stopping)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except DomainError as error:
        sys.exit(str(error))
