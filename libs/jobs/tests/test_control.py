"""What somebody desired states a job to do: who may desired state what, and what becomes of it."""

import asyncio
from pathlib import Path

import pytest
from chain_job import chain
from chain_worker import ChainHandler, InProcess
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1 import job_service_pb2, job_service_pb2_grpc
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JOB_DESIRED_STATE_UNSPECIFIED,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobControl,
    JobResumed,
    JobState,
)
from modelmill_bus.subjects import job_control, job_resumed, job_state
from modelmill_jobs.control import JobServicer
from modelmill_jobs.errors import JobFailed
from modelmill_jobs.process_capacity import ProcessCapacity
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import (
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually
from prometheus_client import REGISTRY

SLOW = {"steps": 300}
"""Longer than any desired state takes; quick once it runs again."""


async def saved(jobs, job_id: str) -> bool:
    return (await jobs.state(job_id)).checkpoint.step > 0


async def control_signals(jobs, job_id: str) -> list[int]:
    return [each.body.desired_state async for each in jobs.bus.replay([job_control(job_id)])]


async def test_a_paused_job_frees_its_worker_and_goes_on_from_its_checkpoint(working, jobs, store):
    handler = ChainHandler(store, step_seconds=0.03)
    async with working(handler):
        job = await jobs.submit(**SLOW)
        await eventually(lambda: saved(jobs, job.job_id))
        await jobs.pause(job.job_id)
        paused = await jobs.until(job.job_id, JOB_STATUS_PAUSED)
        await eventually(jobs.all_acknowledged)
        handler._changes["step_seconds"] = 0.0
        other = await jobs.submit(steps=1)
        await jobs.until(other.job_id, JOB_STATUS_SUCCEEDED)
        await jobs.resume(job.job_id)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert (paused.preemptions, paused.failures, paused.lost) == (0, 0, 0)
    assert state.result.summary["began_at"] == paused.checkpoint.step > 0
    assert state.result.digest == chain(job.job_id, 300)
    assert (state.preemptions, state.failures, state.lost, state.attempt) == (0, 0, 0, 2)
    running = JOB_STATUS_RUNNING
    assert await jobs.history(job.job_id) == [running, JOB_STATUS_PAUSED, running, 4]


async def test_a_cancelled_job_ends_for_good(working, jobs, store):
    def finished() -> float:
        labels = {"kind": "train", "outcome": "cancelled"}
        return REGISTRY.get_sample_value("modelmill_jobs_finished_total", labels) or 0.0

    before = finished()
    handler = ChainHandler(store, step_seconds=0.03)
    async with working(handler):
        job = await jobs.submit(**SLOW)
        await eventually(lambda: saved(jobs, job.job_id))
        await jobs.cancel(job.job_id)
        cancelled = await jobs.until(job.job_id, JOB_STATUS_CANCELLED)
        await eventually(jobs.all_acknowledged)
        await jobs.cancel(job.job_id)
        for refused in (jobs.pause, jobs.resume):
            with pytest.raises(
                PreconditionError, match=r"is cancelled, for good\. Create a new job"
            ):
                await refused(job.job_id)

    assert finished() == before + 1
    assert cancelled.HasField("finished_at")
    assert (cancelled.preemptions, cancelled.failures) == (0, 0)
    assert cancelled.checkpoint.step > 0
    assert await control_signals(jobs, job.job_id) == [JOB_DESIRED_STATE_CANCEL]


async def test_a_cancel_is_final_from_when_it_is_recorded_on(jobs, bus):
    job = await jobs.submit()
    running = JobState(job_id=job.job_id, kind="train", status=JOB_STATUS_RUNNING)
    await bus.publish(job_state(job.job_id), running)
    await jobs.cancel(job.job_id)  # its worker has not heard of it yet

    for refused in (jobs.pause, jobs.resume):
        with pytest.raises(PreconditionError, match=r"is being cancelled, for good\. Create a new"):
            await refused(job.job_id)


async def test_a_cancelled_job_stays_so_whatever_the_stream_says_of_resumes(
    working, jobs, job_index
):
    """As in streams of releases in which a resume took a cancel back."""
    job = await jobs.submit()
    await jobs.cancel(job.job_id)
    await jobs.bus.publish(
        job_control(job.job_id), JobControl(job_id=job.job_id, desired_state=JOB_DESIRED_STATE_RUN)
    )
    resumed = JobResumed(job_id=job.job_id)
    sequence = await jobs.bus.publish(job_resumed("train", "acme", job.job_id), resumed)
    handler = InProcess()
    async with working(handler):
        await eventually(jobs.all_acknowledged)
        assert not handler.began.is_set()
    await job_index.wait_for(sequence, timeout=20)
    assert job_index.get("acme", job.job_id).state.status == JOB_STATUS_CANCELLED
    assert await jobs.history(job.job_id) == [JOB_STATUS_CANCELLED]


async def test_a_queued_job_is_parked_without_any_worker_and_queued_again(working, jobs, job_index):
    parked, dropped = await jobs.submit(), await jobs.submit()
    await jobs.pause(parked.job_id)
    sequence = await jobs.cancel(dropped.job_id)
    await job_index.wait_for(sequence, timeout=20)

    assert (await jobs.state(parked.job_id)).status == JOB_STATUS_PAUSED
    assert job_index.get("acme", dropped.job_id).state.status == JOB_STATUS_CANCELLED
    handler = InProcess()
    handler.go.set()
    async with working(handler):
        await eventually(jobs.all_acknowledged)
        assert not handler.began.is_set()
        sequence = await jobs.resume(parked.job_id)
        await job_index.wait_for(sequence, timeout=20)
        assert job_index.get("acme", parked.job_id).state.status != JOB_STATUS_PAUSED
        await jobs.until(parked.job_id, JOB_STATUS_SUCCEEDED)

    assert await jobs.history(parked.job_id) == [JOB_STATUS_PAUSED, JOB_STATUS_RUNNING, 4]
    assert (await jobs.state(dropped.job_id)).attempt == 0


async def test_a_paused_job_can_be_cancelled(jobs):
    job = await jobs.submit()
    await jobs.pause(job.job_id)
    await jobs.cancel(job.job_id)
    assert (await jobs.state(job.job_id)).status == JOB_STATUS_CANCELLED
    assert await jobs.history(job.job_id) == [JOB_STATUS_PAUSED, JOB_STATUS_CANCELLED]


async def test_a_desired_state_in_force_is_not_written_twice_and_resumes_at_once_are_one(jobs):
    job = await jobs.submit()
    assert await jobs.resume(job.job_id) == job.sequence
    first = await jobs.pause(job.job_id)
    assert await jobs.pause(job.job_id) == first
    await asyncio.gather(*(jobs.resume(job.job_id) for _ in range(10)))
    await jobs.resume(job.job_id)

    assert await control_signals(jobs, job.job_id) == [
        JOB_DESIRED_STATE_PAUSE,
        JOB_DESIRED_STATE_RUN,
    ]
    subject = job_resumed("train", "acme", job.job_id)
    assert len([each async for each in jobs.bus.replay([subject])]) == 1


async def test_a_failed_job_runs_again_when_desired_and_refuses_everything_else(
    working, jobs, job_index
):
    handler = InProcess(JobFailed("NO", "not today"))
    handler.go.set()
    async with working(handler):
        job = await jobs.submit()
        await jobs.until(job.job_id, JOB_STATUS_FAILED)
        for refused in (jobs.pause, jobs.cancel):
            with pytest.raises(PreconditionError, match="it is failed"):
                await refused(job.job_id)
        await eventually(jobs.all_acknowledged)
    sequence = await jobs.resume(job.job_id)
    await job_index.wait_for(sequence, timeout=20)
    queued = job_index.get("acme", job.job_id).state
    await jobs.pause(job.job_id)
    paused = await jobs.state(job.job_id)
    await jobs.resume(job.job_id)
    handler.failure = None
    async with working(handler):
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert queued.status == JOB_STATUS_QUEUED
    assert not queued.HasField("error")
    assert paused.status == JOB_STATUS_PAUSED
    assert not paused.HasField("error")
    assert state.attempt == 2
    assert await control_signals(jobs, job.job_id) == [
        JOB_DESIRED_STATE_PAUSE,
        JOB_DESIRED_STATE_RUN,
    ]


async def test_a_job_that_succeeded_refuses_every_desired_state(working, jobs, job_index, bus):
    handler = InProcess()
    handler.go.set()
    async with working(handler):
        job = await jobs.submit()
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        for refused in (jobs.pause, jobs.cancel, jobs.resume):
            with pytest.raises(PreconditionError, match="has succeeded"):
                await refused(job.job_id)
        # As written by an owner that had read the state a moment before.
        late = JobControl(job_id=job.job_id, desired_state=JOB_DESIRED_STATE_CANCEL)
        await bus.publish(job_control(job.job_id), late)
        resumed = JobResumed(job_id=job.job_id)
        sequence = await bus.publish(job_resumed("train", "acme", job.job_id), resumed)
        await eventually(jobs.all_acknowledged)

    await job_index.wait_for(sequence, timeout=20)
    record = job_index.get("acme", job.job_id)
    assert (record.state.status, record.desired_state) == (
        JOB_STATUS_SUCCEEDED,
        JOB_DESIRED_STATE_RUN,
    )
    assert (await jobs.state(job.job_id)).attempt == 1


async def test_only_jobs_of_the_tenant_and_of_kinds_that_the_service_owns_are_found(jobs, bus):
    mine = await jobs.submit()
    other = await JobQueue(bus).submit(
        kind="dataset",
        prefix="job",
        tenant="acme",
        requested_by="tester",
        idempotency_key="",
        spec=Struct(),
    )
    for tenant, job_id in (
        ("rival", mine.job_id),
        ("acme", other.job_id),
        ("acme", "ftjob-none"),
        ("acme", "*"),
        ("acme", ""),
        ("acme", "a b\r\nPUB x"),
    ):
        with pytest.raises(NotFoundError):
            await jobs.desired_state(job_id, JOB_DESIRED_STATE_CANCEL, tenant=tenant)
    for nonsense in (JOB_DESIRED_STATE_UNSPECIFIED, 9):
        with pytest.raises(InvalidInputError):
            await jobs.desired_state(mine.job_id, nonsense)
    assert await bus.last_sequence("JOBS") == 2


@pytest.mark.own_broker
async def test_without_a_broker_a_desired_state_is_refused_in_time_and_may_be_repeated(
    broker, jobs
):
    job = await jobs.submit()
    broker.kill()
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(jobs.cancel(job.job_id), 20)
    await broker.start()
    await eventually(lambda: jobs.bus.connected)
    await jobs.cancel(job.job_id)

    assert (await jobs.state(job.job_id)).status == JOB_STATUS_CANCELLED


async def test_control_requests_come_over_grpc_and_refusals_with_their_status(jobs):
    address = f"127.0.0.1:{free_port()}"
    server = RpcServer(address, "a-secret-of-the-tests", drain_seconds=0.1)
    add = job_service_pb2_grpc.add_JobServiceServicer_to_server
    add(JobServicer(jobs.control, ProcessCapacity(Path())), server.grpc)
    job = await jobs.submit()
    asked = {"tenant": "acme", "job_id": job.job_id, "requested_by": "tester"}
    async with server, open_channel(address, "a-secret-of-the-tests") as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)

        async def ask(**changes: object) -> int:
            request = job_service_pb2.ControlJobRequest(**asked | changes)
            with domain_errors():
                return (await stub.ControlJob(request, timeout=10)).sequence

        sequence = await ask(desired_state=JOB_DESIRED_STATE_CANCEL)
        with pytest.raises(PreconditionError):
            await ask(desired_state=JOB_DESIRED_STATE_PAUSE)
        with pytest.raises(NotFoundError):
            await ask(desired_state=JOB_DESIRED_STATE_CANCEL, tenant="rival")
        with pytest.raises(InvalidInputError):
            await ask(desired_state=JOB_DESIRED_STATE_CANCEL, tenant="*")

    assert sequence == await jobs.bus.last_sequence("JOBS")
