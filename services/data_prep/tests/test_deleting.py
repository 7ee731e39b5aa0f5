"""Files, datasets and jobs are taken out of use, by their tenant alone."""

from typing import Any

import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED, job_state
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import NotFoundError, PreconditionError, UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.waiting import once_available

ROWS = [{"q": f"question {n}", "a": "yes"} for n in range(3)]


async def delete_file(data_prep: Any, file_id: str, tenant: str = "acme") -> int:
    with domain_errors():
        request = pb.DeleteFileRequest(tenant=tenant, file_id=file_id)
        sequence: int = (await data_prep.stub.DeleteFile(request, timeout=60)).sequence
    return sequence


async def delete_dataset(data_prep: Any, dataset_id: str, tenant: str = "acme") -> int:
    request = pb.DeleteDatasetRequest(tenant=tenant, dataset_id=dataset_id, requested_by="ann")
    with domain_errors():
        sequence: int = (await data_prep.stub.DeleteDataset(request, timeout=60)).sequence
    return sequence


async def test_a_deleted_file_is_gone_for_good_and_only_its_owner_deletes_it(
    data_prep: Any,
) -> None:
    file, other = [await data_prep.upload(ROWS) for _ in range(2)]
    shared = await data_prep.upload(ROWS, tenant="shared")
    for file_id, tenant in (
        (file.file_id, "rival"),
        (shared.file_id, "acme"),
        ("file-0", "acme"),
        ("../x", "acme"),
    ):
        with pytest.raises(NotFoundError):
            await delete_file(data_prep, file_id, tenant)
    sequence = await delete_file(data_prep, file.file_id)

    assert sequence == await data_prep.bus.last_sequence("DATASETS")
    assert await data_prep.list_ids() == [shared.file_id, other.file_id]
    for gone in (data_prep.get_file, data_prep.download, data_prep.create):
        with pytest.raises(NotFoundError, match=file.file_id):
            await gone(file.file_id)
    with pytest.raises(NotFoundError, match=file.file_id):
        await delete_file(data_prep, file.file_id)


async def test_what_a_waiting_job_needs_stays_and_the_refusal_names_the_job(
    data_prep: Any,
) -> None:
    rows, questions = [await data_prep.upload(ROWS) for _ in range(2)]
    job = await data_prep.create(
        rows.file_id, duplicates=pb.DuplicateSpec(evaluation_file_ids=[questions.file_id])
    )
    await data_prep.bus.publish(DATASET_READY, DatasetReady(dataset_id="ds-1", tenant="acme"))
    training = await JobQueue(data_prep.bus).submit(
        kind="train",
        prefix="ftjob",
        tenant="acme",
        requested_by="ann",
        idempotency_key="",
        spec=TrainSpec(dataset_id="ds-1"),
    )
    for file in (rows, questions):
        with pytest.raises(PreconditionError, match=rf"{file.file_id}.*job {job.job_id}"):
            await delete_file(data_prep, file.file_id)
    with pytest.raises(PreconditionError, match=rf"'ds-1' is in use by job {training.job_id}"):
        await delete_dataset(data_prep, "ds-1")
    with pytest.raises(NotFoundError):
        await delete_dataset(data_prep, "ds-1", tenant="rival")
    async with open_channel(data_prep.address, data_prep.secret) as channel:
        request = ControlJobRequest(
            tenant="acme",
            job_id=job.job_id,
            desired_state=JOB_DESIRED_STATE_CANCEL,
            requested_by="ann",
        )
        await JobServiceStub(channel).ControlJob(request, timeout=60)
    for file in (rows, questions):
        assert await delete_file(data_prep, file.file_id)


async def test_a_job_that_was_accepted_as_its_file_was_deleted_fails_by_name(
    working_data_prep: Any,
) -> None:
    file = await working_data_prep.upload(ROWS)
    await delete_file(working_data_prep, file.file_id)
    # As accepted a moment before the file was deleted.
    job = await JobQueue(working_data_prep.bus).submit(
        kind="dataset",
        prefix="job",
        tenant="acme",
        requested_by="ann",
        idempotency_key="",
        spec=pb.DatasetSpec(
            file_id=file.file_id,
            mapping=pb.RowMapping(user_template="{q}", answer_template="{a}"),
        ),
    )
    state = await working_data_prep.ended(job.job_id)

    assert (state.status, state.error.code) == (JOB_STATUS_FAILED, "FILE_GONE")


async def test_a_deleted_dataset_is_announced_once_as_retired_by_its_owner(data_prep: Any) -> None:
    for dataset_id, tenant in (("ds-1", "acme"), ("ds-2", "shared")):
        ready = DatasetReady(dataset_id=dataset_id, tenant=tenant)
        await data_prep.bus.publish(DATASET_READY, ready)
    for dataset_id, tenant in (("ds-1", "rival"), ("ds-2", "acme"), ("ds-3", "acme")):
        with pytest.raises(NotFoundError):
            await delete_dataset(data_prep, dataset_id, tenant)
    sequence = await delete_dataset(data_prep, "ds-1")
    with pytest.raises(NotFoundError, match="'ds-1' was retired"):
        await delete_dataset(data_prep, "ds-1")

    [stored] = [each async for each in data_prep.bus.replay([DATASET_RETIRED])]
    assert stored.sequence == sequence
    assert stored.msg_id == "ds-1-retired"
    assert (stored.body.dataset_id, stored.body.tenant) == ("ds-1", "acme")
    assert "ann" in stored.body.reason


async def test_the_report_of_a_retired_dataset_is_refused_as_retired(data_prep: Any) -> None:
    created = await data_prep.create((await data_prep.upload(ROWS)).file_id)
    state = JobState(job_id=created.job_id, tenant="acme", status=JOB_STATUS_SUCCEEDED)
    await data_prep.bus.publish(job_state(created.job_id), state)
    ready = DatasetReady(dataset_id=created.dataset_id, tenant="acme")
    await data_prep.bus.publish(DATASET_READY, ready)
    await delete_dataset(data_prep, created.dataset_id)
    request = pb.DownloadReportRequest(
        tenant="acme", dataset_id=created.dataset_id, job_id=created.job_id
    )

    with pytest.raises(NotFoundError, match="was retired"), domain_errors():
        [part async for part in data_prep.stub.DownloadReport(request, timeout=60)]


async def test_a_queued_dataset_job_is_cancelled_over_grpc(data_prep: Any) -> None:
    created = await data_prep.create((await data_prep.upload(ROWS)).file_id)
    asked = {"tenant": "acme", "job_id": created.job_id, "requested_by": "ann"}
    async with open_channel(data_prep.address, data_prep.secret) as channel:
        jobs = JobServiceStub(channel)
        request = ControlJobRequest(desired_state=JOB_DESIRED_STATE_CANCEL, **asked)
        sequence = (await jobs.ControlJob(request, timeout=60)).sequence
        request = ControlJobRequest(desired_state=JOB_DESIRED_STATE_PAUSE, **asked)
        with pytest.raises(PreconditionError, match="it is cancelled"), domain_errors():
            await jobs.ControlJob(request, timeout=60)

    stored = await data_prep.bus.last(job_state(created.job_id), JobState)
    assert stored.body.status == JOB_STATUS_CANCELLED
    assert stored.sequence == sequence


@pytest.mark.own_broker
async def test_without_the_broker_nothing_is_deleted(data_prep: Any) -> None:
    file = await data_prep.upload(ROWS)
    ready = DatasetReady(dataset_id="ds-1", tenant="acme")
    await data_prep.bus.publish(DATASET_READY, ready)
    with pytest.raises(NotFoundError):  # and so it has been read
        await delete_dataset(data_prep, "ds-2")
    data_prep.nats.kill()
    for deleting in (delete_file(data_prep, file.file_id), delete_dataset(data_prep, "ds-1")):
        with pytest.raises(UnavailableError):
            await deleting
    await data_prep.nats.start()
    assert await once_available(lambda: delete_file(data_prep, file.file_id)) == 3
