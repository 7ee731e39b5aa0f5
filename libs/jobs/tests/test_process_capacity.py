"""What a process tells of its capacity: slots, cores and memory in use and free, and its disk."""

import asyncio
from pathlib import Path

from chain_worker import InProcess
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1 import job_service_pb2, job_service_pb2_grpc
from modelmill_jobs.control import JobServicer
from modelmill_jobs.process_capacity import ProcessCapacity
from modelmill_jobs.submit import JobQueue
from modelmill_jobs.waiting import ShortJobs
from modelmill_jobs.worker import Worker
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.machine_size import MachineSize
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

SECRET = "a-secret-of-the-tests"
GB = 10**9
WHOLE = MachineSize(cpus=4, memory_bytes=8 * GB)
PART = MachineSize(cpus=1, memory_bytes=2 * GB)
SHORT = ShortJobs(slots=1, seconds=60)


async def submit(bus, *, seconds: float) -> None:
    await JobQueue(bus).submit(
        kind="train",
        prefix="ftjob",
        tenant="acme",
        requested_by="tester",
        idempotency_key="",
        spec=Struct(),
        needs=PART,
        expected_seconds=seconds,
    )


async def test_a_worker_tells_what_it_has_in_hand_and_what_is_left(bus, tmp_path: Path):
    handler, stopping = InProcess(), asyncio.Event()
    worker = Worker(
        bus,
        [handler],
        service="trainer",
        work_root=tmp_path,
        slots=2,
        short=SHORT,
        size=WHOLE,
        turn_seconds=0.1,
    )
    assert (worker.load.slots, worker.load.busy_slots) == (2, 0)
    assert worker.load.free == worker.load.size

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run(stopping))
        await submit(bus, seconds=0)
        await eventually(lambda: worker.load.busy_slots == 1)
        one = worker.load
        await submit(bus, seconds=0)
        await eventually(lambda: worker.load.busy_slots == 2)
        await submit(bus, seconds=5)
        await eventually(lambda: worker.load.busy_short_slots == 1)
        all_of_it = worker.load
        handler.go.set()
        await eventually(lambda: worker.load.busy_slots + worker.load.busy_short_slots == 0)
        stopping.set()

    assert (list(one.kinds), one.worker.split("-")[0]) == (["train"], "trainer")
    assert (one.free.cpus, one.free.memory_bytes) == (3, 6 * GB)
    assert (all_of_it.busy_slots, all_of_it.busy_short_slots) == (2, 1)
    assert (all_of_it.free.cpus, all_of_it.free.memory_bytes) == (1, 2 * GB)


async def test_a_worker_without_a_size_tells_none(bus, tmp_path: Path):
    worker = Worker(bus, [InProcess()], service="trainer", work_root=tmp_path)

    assert not worker.load.HasField("size")
    assert not worker.load.HasField("free")


async def test_it_is_told_over_grpc_and_what_cannot_be_known_is_left_out(jobs, tmp_path: Path):
    capacity = ProcessCapacity(tmp_path / "artifacts")
    address = f"127.0.0.1:{free_port()}"
    server = RpcServer(address, SECRET, drain_seconds=0.1)
    servicer = JobServicer(jobs.control, capacity)
    job_service_pb2_grpc.add_JobServiceServicer_to_server(servicer, server.grpc)
    async with server, open_channel(address, SECRET) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        request = job_service_pb2.GetWorkerCapacityRequest()
        before = await stub.GetWorkerCapacity(request, timeout=10)
        (tmp_path / "artifacts").mkdir()
        after = await stub.GetWorkerCapacity(request, timeout=10)

    assert (before.HasField("worker"), before.HasField("artifact_disk")) == (False, False)
    disk = after.artifact_disk
    assert 0 < disk.free_bytes <= disk.total_bytes
