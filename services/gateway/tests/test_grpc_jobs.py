"""Datasets, training, builds and the jobs that make them, over gRPC."""

from typing import Any

import grpc
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused, upload_rows
from gateway_support.house import BASE, House
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, RowMapping
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobProgress,
    JobResult,
    JobState,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.trainer_service_pb2 import HyperParameters, TrainSpec
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import job_progress, job_state
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode
MAPPING = RowMapping(user_template="{q}", answer_template="{a}")


async def make_dataset(
    stub: GatewayServiceStub, file_id: str, key: str = "", **spec: Any
) -> pb.CreateDatasetResponse:
    wanted = DatasetSpec(file_id=file_id, mapping=MAPPING, **spec)
    request = pb.CreateDatasetRequest(spec=wanted, idempotency_key=key)
    return await stub.CreateDataset(request, timeout=CALL_SECONDS)


async def train(stub: GatewayServiceStub, key: str = "", **spec: Any) -> pb.Job:
    wanted = TrainSpec(**({"base_version_id": "tiny"} | spec))
    request = pb.CreateFineTuningJobRequest(spec=wanted, idempotency_key=key)
    return (await stub.CreateFineTuningJob(request, timeout=CALL_SECONDS)).job


async def build(stub: GatewayServiceStub, key: str = "", **spec: Any) -> pb.Job:
    wanted = BuildSpec(**({"source_version_id": "default"} | spec))
    request = pb.CreateOptimizationRequest(spec=wanted, idempotency_key=key)
    return (await stub.CreateOptimization(request, timeout=CALL_SECONDS)).job


async def job(stub: GatewayServiceStub, job_id: str) -> pb.Job:
    return (await stub.GetJob(pb.GetJobRequest(job_id=job_id), timeout=CALL_SECONDS)).job


async def say_state(house: House, of: pb.Job, tenant: str, **fields: Any) -> None:
    state = JobState(job_id=of.id, kind=of.kind, tenant=tenant, **fields)
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(of.id), state)


async def say_progress(house: House, of: pb.Job, **fields: Any) -> None:
    progress = JobProgress(job_id=of.id, **fields)
    progress.at.GetCurrentTime()
    await house.bus.publish(job_progress(of.id), progress)


async def test_a_dataset_is_ordered_and_its_job_is_shown(house: House):
    async with grpc_stub(house, tenant="rows") as stub:
        file_id = (await upload_rows(stub)).file_id
        accepted = await make_dataset(stub, file_id, name="words")
        shown = await job(stub, accepted.job.id)

    assert shown == accepted.job
    assert (shown.kind, shown.status, shown.desired_state) == (
        "dataset",
        JOB_STATUS_QUEUED,
        JOB_DESIRED_STATE_RUN,
    )
    assert (shown.spec["file_id"], shown.spec["name"]) == (file_id, "words")
    assert shown.requested_by == "ada"
    assert accepted.dataset_id == derived_id("ds", shown.id)


async def test_training_starts_from_a_name_and_a_file(house: House):
    async with grpc_stub(house, tenant="tuner") as stub:
        chosen = HyperParameters(epochs=2, lora_rank=8)
        ordered = await train(
            stub,
            dataset_id=(await upload_rows(stub)).file_id,
            hyper_parameters=chosen,
            evaluate=True,
        )

    spec = house.trainer.specs[-1]
    assert (spec.base_version_id, spec.name, spec.evaluate) == (BASE, "tiny-tuned", True)
    assert spec.hyper_parameters == chosen
    assert spec.dataset_job_id.startswith("job-")
    assert (ordered.kind, ordered.spec["base_version_id"]) == ("train", BASE)


async def test_a_build_is_ordered_by_the_name_of_what_it_stands_for(house: House):
    async with grpc_stub(house, tenant="builder") as stub:
        ordered = await build(stub)
        async with refused(Status.NOT_FOUND):
            await build(stub, source_version_id="nobody")

    spec = house.optimizer_builder.specs[-1]
    assert (spec.source_version_id, spec.target_form) == (BASE, "openvino-int8")
    assert (ordered.kind, ordered.status) == ("optimize", JOB_STATUS_QUEUED)


async def test_a_repeated_key_is_one_job_and_another_order_under_it_is_refused(house: House):
    async with grpc_stub(house, tenant="keys") as stub:
        file_id = (await upload_rows(stub)).file_id
        datasets = [(await make_dataset(stub, file_id, "k")).job.id for _ in range(2)]
        runs = [(await train(stub, "k", dataset_id=file_id)).id for _ in range(2)]
        builds = [(await build(stub, "k")).id for _ in range(2)]
        for other in (
            make_dataset(stub, file_id, "k", name="other"),
            train(stub, "k", dataset_id=file_id, name="other"),
            build(stub, "k", max_rows=5),
        ):
            async with refused(Status.ALREADY_EXISTS):
                await other
        async with refused(Status.INVALID_ARGUMENT, "idempotency_key"):
            await build(stub, "k" * 256)

    assert [len(set(ids)) for ids in (datasets, runs, builds)] == [1, 1, 1]


async def test_everything_that_is_wrong_with_an_order_is_said_at_once(house: House):
    async with grpc_stub(house) as stub:
        async with refused(Status.INVALID_ARGUMENT, "base_version_id: .*; dataset_id: .*job_id: "):
            await train(stub, base_version_id="", dataset_job_id="job-mine")
        chosen = HyperParameters(learning_rate=5, lora_rank=999)
        async with refused(Status.INVALID_ARGUMENT, "learning_rate .*; lora_rank "):
            await train(stub, dataset_id=(await upload_rows(stub)).file_id, hyper_parameters=chosen)
        async with refused(Status.NOT_FOUND):
            await make_dataset(stub, "file-nobody")


async def test_a_job_shows_what_its_owner_may_know_and_nothing_of_its_worker(house: House):
    async with grpc_stub(house, tenant="inside") as stub:
        ordered = await build(stub)
        inside = {"attempt": 1, "fence": 7, "owner": "worker-1", "nonce": "secret"}
        await say_state(house, ordered, "inside", status=JOB_STATUS_RUNNING, **inside)
        await say_progress(house, ordered, fence=7, phase="export", done=3, total=9, unit="layer")

        async def works() -> pb.Job | None:
            seen = await job(stub, ordered.id)
            # State and progress come by two streams, in any order.
            is_there = seen.status == JOB_STATUS_RUNNING and seen.HasField("progress")
            return seen if is_there else None

        running = await eventually(works)
        error = JobError(code="X", message="no", remedy="do", log_tail="a row")
        await say_state(house, ordered, "inside", status=JOB_STATUS_FAILED, error=error, **inside)
        await eventually(lambda: _shows(stub, ordered.id, "error"))
        failed = await job(stub, ordered.id)

    assert (running.status, running.attempt) == (JOB_STATUS_RUNNING, 1)
    assert (running.progress.phase, running.progress.done, running.progress.fence) == (
        "export",
        3,
        0,
    )
    assert failed.error == error
    assert not failed.HasField("progress")


async def _shows(stub: GatewayServiceStub, job_id: str, field: str) -> bool:
    return (await job(stub, job_id)).HasField(field)


async def test_a_job_that_succeeded_names_what_it_made(house: House):
    async with grpc_stub(house, tenant="maker") as stub:
        ordered = await build(stub)
        result = JobResult(version_id="mv-made")
        result.summary.update({"accuracy": 0.5})
        await say_state(house, ordered, "maker", status=JOB_STATUS_SUCCEEDED, result=result)
        await eventually(lambda: _shows(stub, ordered.id, "summary"))
        done = await job(stub, ordered.id)

    assert (done.result_id, done.summary["accuracy"]) == ("mv-made", 0.5)


async def test_jobs_are_listed_in_pages_by_kind_newest_first(house: House):
    async with grpc_stub(house, tenant="lists") as stub:
        file_id = (await upload_rows(stub)).file_id
        made = [(await make_dataset(stub, file_id, name=f"{n}")).job.id for n in range(3)]
        built = await build(stub)

        async def listed(**asked: Any) -> pb.ListJobsResponse:
            return await stub.ListJobs(pb.ListJobsRequest(**asked), timeout=CALL_SECONDS)

        newest = await listed(limit=2)
        rest = await listed(after=newest.jobs[-1].id)
        datasets = await listed(kind="dataset")
        async with refused(Status.INVALID_ARGUMENT, "kind must be one of"):
            await listed(kind="nonsense")

    assert [each.id for each in newest.jobs] == [built.id, made[2]]
    assert newest.has_more
    assert [each.id for each in rest.jobs] == made[1::-1]
    assert not rest.has_more
    assert [each.id for each in datasets.jobs] == made[::-1]


async def test_a_job_is_cancelled_as_a_desired_state_until_it_has_ended(house: House):
    async with grpc_stub(house, tenant="stops") as stub:
        ordered = await build(stub)
        asked = pb.CancelJobRequest(job_id=ordered.id)
        stopping = (await stub.CancelJob(asked, timeout=CALL_SECONDS)).job
        again = (await stub.CancelJob(asked, timeout=CALL_SECONDS)).job

        ended = await build(stub)
        await say_state(house, ended, "stops", status=JOB_STATUS_SUCCEEDED)
        await eventually(lambda: _shows(stub, ended.id, "summary"))
        async with refused(Status.FAILED_PRECONDITION):
            await stub.CancelJob(pb.CancelJobRequest(job_id=ended.id), timeout=CALL_SECONDS)

    assert (stopping.id, stopping.desired_state, again.desired_state) == (
        ordered.id,
        JOB_DESIRED_STATE_CANCEL,
        JOB_DESIRED_STATE_CANCEL,
    )


async def test_a_job_is_paused_and_runs_again_as_desired(house: House):
    async with grpc_stub(house, tenant="pauses") as stub:
        job_id = (await build(stub)).id
        paused = (await stub.PauseJob(pb.PauseJobRequest(job_id=job_id), timeout=CALL_SECONDS)).job
        going_on = (
            await stub.ResumeJob(pb.ResumeJobRequest(job_id=job_id), timeout=CALL_SECONDS)
        ).job

    assert (paused.id, paused.desired_state) == (job_id, JOB_DESIRED_STATE_PAUSE)
    assert (going_on.id, going_on.desired_state) == (job_id, JOB_DESIRED_STATE_RUN)


async def test_another_tenants_job_is_not_found(house: House):
    async with grpc_stub(house, tenant="owner") as stub:
        job_id = (await build(stub)).id
    async with grpc_stub(house, tenant="stranger") as stub:
        async with refused(Status.NOT_FOUND):
            await job(stub, job_id)
        async with refused(Status.NOT_FOUND):
            await stub.CancelJob(pb.CancelJobRequest(job_id=job_id), timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            await stub.PauseJob(pb.PauseJobRequest(job_id=job_id), timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            await stub.ResumeJob(pb.ResumeJobRequest(job_id=job_id), timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            await watched(stub, job_id)


async def watched(stub: GatewayServiceStub, job_id: str, after: str = "") -> list[Any]:
    request = pb.WatchJobRequest(job_id=job_id, after=after)
    return [event async for event in stub.WatchJob(request, timeout=CALL_SECONDS)]


async def test_a_watcher_hears_what_was_and_what_comes_until_the_end(house: House):
    async with grpc_stub(house, tenant="watch") as stub:
        ordered = await build(stub)
        await say_state(house, ordered, "watch", status=JOB_STATUS_RUNNING, attempt=1, fence=1)
        request = pb.WatchJobRequest(job_id=ordered.id)
        events = aiter(stub.WatchJob(request, timeout=CALL_SECONDS))
        first = await anext(events)
        figures = {"loss": 0.5}
        await say_progress(house, ordered, fence=1, phase="export", done=1, metrics=figures)
        second = await anext(events)
        await say_state(house, ordered, "watch", status=JOB_STATUS_SUCCEEDED, fence=1)
        rest = [event async for event in events]
        later = await watched(stub, ordered.id, after=first.event_id)

    assert (first.WhichOneof("body"), first.status) == ("status", JOB_STATUS_RUNNING)
    assert first.message.startswith("running")
    assert first.at.seconds > 0
    assert (second.progress.metrics, second.progress.fence) == (figures, 0)
    assert [event.status for event in rest] == [JOB_STATUS_SUCCEEDED]
    assert [event.event_id for event in later] == [second.event_id, rest[0].event_id]


async def test_what_is_no_event_cannot_be_gone_on_after(house: House):
    async with grpc_stub(house) as stub:
        ordered = await build(stub)
        async with refused(Status.INVALID_ARGUMENT, "after"):
            await watched(stub, ordered.id, after="yesterday")


async def test_a_watcher_of_a_gateway_that_stops_is_told_to_watch_on(house: House):
    async with another_gateway(house) as other, grpc_stub(other.house) as stub:
        ordered = await build(stub)
        await say_state(house, ordered, "acme", status=JOB_STATUS_RUNNING, attempt=1, fence=1)
        events = aiter(stub.WatchJob(pb.WatchJobRequest(job_id=ordered.id), timeout=CALL_SECONDS))
        await anext(events)
        other.stopping.set()
        async with refused(Status.UNAVAILABLE, "Watch on after the last event"):
            await anext(events)
