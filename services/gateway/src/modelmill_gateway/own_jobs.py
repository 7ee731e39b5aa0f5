"""The gateway's own jobs put together: who orders them, who works on them, who steers them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelmill_jobs.worker import Worker
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.job_checkpoints import forget_checkpoints
from modelmill_registry.stores import store_of

from modelmill_gateway.adapters.delegated_identity import StandingOfCallers
from modelmill_gateway.batches.answer_batch import AnswerBatch
from modelmill_gateway.batches.answer_many import AnswerMany
from modelmill_gateway.batches.keep_batch_files import KeepBatchFiles
from modelmill_gateway.composition import Parts
from modelmill_gateway.entrypoints.http.gate import Gate
from modelmill_gateway.entrypoints.in_process_client import InProcessClient
from modelmill_gateway.entrypoints.jobs import BatchHandler
from modelmill_gateway.evals.run_eval import RunEval

SERVICE = "gateway"


def worker_of(parts: Parts, gate: Gate) -> Worker:
    """What works on batches, through the same door as people."""
    settings, files, store = parts.settings, parts.peers.data_prep, store_of(parts.settings)
    most = settings.batch_parallel
    answer_many = AnswerMany(
        *(InProcessClient(gate), most, asyncio.Semaphore(most)),
        others_wait=lambda: parts.admission.waiting > 0,
    )
    standing = StandingOfCallers(parts.known.keys)
    answer_batch = AnswerBatch(
        *(files, KeepBatchFiles(files), store, answer_many, standing),
        max_bytes=settings.max_body_bytes,
    )
    return Worker(
        parts.bus,
        [BatchHandler(answer_batch, RunEval(files, store, answer_many, standing))],
        service=SERVICE,
        work_root=settings.work_root / "jobs",
        slots=settings.worker_slots,
        size=settings.worker_size,
        jobs_per_tenant=settings.jobs_per_tenant,
        claim_seconds=settings.claim_seconds,
        after_success=_Clearing(store),
    )


@asynccontextmanager
async def working(worker: Worker, stopping: asyncio.Event) -> AsyncIterator[None]:
    """Work until `stopping`; jobs in hand are given back before the block is left."""
    task = asyncio.create_task(worker.run(stopping))
    task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        stopping.set()
        await task


class _Clearing:
    """Deletes all that a job saved which has succeeded and so never goes on from it."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def __call__(self, job_id: str) -> None:
        await asyncio.to_thread(forget_checkpoints, self._store, job_id)
