"""A real broker without streams for each test, and workers in this process or in others."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY, job_state
from modelmill_job_index.index import JobIndex
from modelmill_jobs.control import ControlJob
from modelmill_jobs.submit import JobQueue, SubmittedJob
from modelmill_jobs.worker import Worker
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.shared_nats import SharedNats, broker_for
from modelmill_testkit.waiting import eventually
from nats.js.errors import NotFoundError

SUPPORT = Path(__file__).parent / "support"
sys.path.append(str(SUPPORT))

CLAIM_SECONDS = 1.2
DURABLE = "trainer-work-train"
LEGAL = {
    pb.JOB_STATUS_UNSPECIFIED: {
        pb.JOB_STATUS_RUNNING,
        pb.JOB_STATUS_PAUSED,
        pb.JOB_STATUS_CANCELLED,
    },
    pb.JOB_STATUS_QUEUED: {pb.JOB_STATUS_RUNNING, pb.JOB_STATUS_PAUSED, pb.JOB_STATUS_CANCELLED},
    pb.JOB_STATUS_RUNNING: set(pb.JobStatus.values()) - {pb.JOB_STATUS_UNSPECIFIED},
    pb.JOB_STATUS_PAUSED: {pb.JOB_STATUS_RUNNING, pb.JOB_STATUS_CANCELLED},
    pb.JOB_STATUS_CANCELLED: set(),
    pb.JOB_STATUS_FAILED: {pb.JOB_STATUS_RUNNING, pb.JOB_STATUS_PAUSED, pb.JOB_STATUS_CANCELLED},
    pb.JOB_STATUS_SUCCEEDED: set(),
}
"""Which state may follow which; the first follows UNSPECIFIED."""


@pytest_asyncio.fixture
async def broker(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[NatsServer | SharedNats]:
    async with broker_for(request.node, tmp_path / "nats") as server:
        yield server


@pytest_asyncio.fixture
async def bus(broker: NatsServer) -> AsyncIterator[Bus]:
    async with Bus.connect(broker.url, broker.token, name="tester") as connected:
        yield connected


class Jobs:
    """What tests do with chain jobs, and see of them."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._queue = JobQueue(bus)
        self.control = ControlJob(bus, ["train"])

    async def submit(self, key: str = "", **spec: Any) -> SubmittedJob:
        body = Struct()
        body.update({"steps": 20, **spec})
        return await self._queue.submit(
            kind="train",
            prefix="ftjob",
            tenant="acme",
            requested_by="tester",
            idempotency_key=key,
            spec=body,
        )

    async def state(self, job_id: str) -> JobState:
        stored = await self.bus.last(job_state(job_id), JobState)
        return stored.body if stored else JobState()

    async def until(self, job_id: str, *statuses: int, within: float = 60.0) -> JobState:
        async def reached() -> JobState | None:
            state = await self.state(job_id)
            return state if state.status in statuses else None

        return await eventually(reached, within=within)

    async def states(self, job_id: str) -> list[JobState]:
        """Everything that was ever written about the job, in order."""
        return [stored.body async for stored in self.bus.replay([job_state(job_id)])]

    async def desired_state(
        self, job_id: str, desired_state: "pb.JobDesiredState.ValueType", tenant: str = "acme"
    ) -> int:
        return await self.control(
            tenant=tenant, job_id=job_id, desired_state=desired_state, requested_by="tester"
        )

    async def pause(self, job_id: str) -> int:
        return await self.desired_state(job_id, pb.JOB_DESIRED_STATE_PAUSE)

    async def cancel(self, job_id: str) -> int:
        return await self.desired_state(job_id, pb.JOB_DESIRED_STATE_CANCEL)

    async def resume(self, job_id: str) -> int:
        return await self.desired_state(job_id, pb.JOB_DESIRED_STATE_RUN)

    async def history(self, job_id: str) -> list[int]:
        """Every status that was written, repeats left out; each may follow the one before it."""
        before, seen = pb.JOB_STATUS_UNSPECIFIED, []
        for state in await self.states(job_id):
            assert state.status in LEGAL[before], f"{state.status} after {before}"
            if state.status != before:
                seen.append(state.status)
            before = state.status
        return seen

    async def announced(self) -> list[str]:
        """Version ids of model.ready, as often as the stream has them."""
        return [stored.body.version_id async for stored in self.bus.replay([MODEL_READY])]

    async def delivered(self) -> int:
        """How often the worker's durable consumer has handed out a request."""
        try:
            info = await self.bus._link.js.consumer_info("JOBS", DURABLE)
        except NotFoundError:
            return 0
        return info.delivered.consumer_seq

    async def all_acknowledged(self) -> bool:
        """Whether the worker's durable consumer has nothing left to see to."""
        try:
            info = await self.bus._link.js.consumer_info("JOBS", DURABLE)
        except NotFoundError:  # the worker has only just started
            return False
        return info.num_pending + info.num_ack_pending == 0

    async def forget_deliveries(self) -> None:
        """As a broker that lost the consumer: every request comes again."""
        await self.bus._link.js.delete_consumer("JOBS", DURABLE)


@pytest.fixture(name="jobs")
def chain_jobs(bus: Bus) -> Jobs:
    return Jobs(bus)


@pytest_asyncio.fixture
async def job_index(bus: Bus) -> AsyncIterator[JobIndex]:
    book = JobIndex(bus)
    running = asyncio.create_task(book.run())
    yield book
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


Working = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture
def working(bus: Bus, tmp_path: Path) -> Working:
    """`async with working(handler)`: a worker in this process, stopped when the block ends."""

    @asynccontextmanager
    async def run(handler: Any, **options: Any) -> AsyncIterator[Worker]:
        stopping = asyncio.Event()
        # It ends at the end of a turn; a test need not wait for half a second.
        quick = {"claim_seconds": CLAIM_SECONDS, "retry_seconds": 0.05, "turn_seconds": 0.1}
        settings = quick | options
        its_bus = settings.pop("bus", bus)
        folder = tmp_path / "work"
        worker = Worker(its_bus, [handler], service="trainer", work_root=folder, **settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(stopping))
            try:
                yield worker
            finally:
                stopping.set()

    return run


StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def start_worker(broker: NatsServer, store: Path, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts worker processes; all are dead when the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**options: Any) -> subprocess.Popen[bytes]:
        given = {
            "url": broker.url,
            "token": broker.token,
            "store": str(store),
            "work_root": str(tmp_path / "work"),
            "claim_seconds": CLAIM_SECONDS,
            **options,
        }
        with (tmp_path / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(SUPPORT / "chain_worker.py"), json.dumps(given)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
