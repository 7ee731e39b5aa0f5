"""What jobs that have not ended need is told to whoever wants to delete it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec, EvalRunSpec
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_state
from modelmill_job_index.unfinished import UnfinishedJobs, input_ids
from modelmill_service_kit.errors import PreconditionError, UnavailableError

SPECS = (DatasetSpec, TrainSpec, EvaluationSpec, BuildSpec, BatchSpec, EvalRunSpec)
NOT_INPUTS = ("dataset_job_id", "eval_id", "key_id")
"""Jobs, evals and keys are deleted by nobody, or by rules of their own."""


@pytest_asyncio.fixture
async def unfinished(bus: Bus) -> AsyncIterator[UnfinishedJobs]:
    following = UnfinishedJobs(bus)
    task = asyncio.create_task(following.run())
    yield following
    task.cancel()


async def is_free(unfinished: UnfinishedJobs, tenant: str = "acme") -> bool:
    try:
        await unfinished.refuse_use(tenant, "dataset 'ds-1'", ["ds-1"])
    except PreconditionError:
        return False
    return True


async def say(jobs: Any, job_id: str, status: "pb.JobStatus.ValueType") -> None:
    state = pb.JobState(job_id=job_id, kind="train", tenant="acme", status=status)
    await jobs.bus.publish(job_state(job_id), state)


async def test_what_a_job_needs_is_in_use_until_the_job_has_ended(jobs, unfinished):
    job = await jobs.submit(dataset_id="ds-1")
    assert not await is_free(unfinished)
    for status in (pb.JOB_STATUS_RUNNING, pb.JOB_STATUS_QUEUED):
        await say(jobs, job.job_id, status)
        assert not await is_free(unfinished)
    await jobs.pause(job.job_id)
    assert (await jobs.state(job.job_id)).status == pb.JOB_STATUS_PAUSED
    assert not await is_free(unfinished)
    await jobs.resume(job.job_id)
    await say(jobs, job.job_id, pb.JOB_STATUS_FAILED)
    assert await is_free(unfinished)

    await jobs.resume(job.job_id)
    assert not await is_free(unfinished)
    await say(jobs, job.job_id, pb.JOB_STATUS_SUCCEEDED)
    assert await is_free(unfinished)
    other = await jobs.submit(dataset_id="ds-1")
    assert not await is_free(unfinished)
    await jobs.cancel(other.job_id)
    assert await is_free(unfinished)


async def test_the_refusal_names_the_jobs_and_none_of_another_tenant(jobs, unfinished):
    ids = [(await jobs.submit(dataset_id="ds-1")).job_id for _ in range(7)]
    with pytest.raises(PreconditionError) as refused:
        await unfinished.refuse_use("acme", "dataset 'ds-1'", ["ds-1"])
    said = refused.value.message
    assert "dataset 'ds-1' is in use by" in said
    assert sum(each in said for each in ids) == 5
    assert "2 more of your jobs" in said
    assert "(train, queued)" in said
    assert "cancel" in said
    with pytest.raises(PreconditionError) as refused:
        await unfinished.refuse_use("shared", "dataset 'ds-1'", ["ds-1"])
    assert not any(each in refused.value.message for each in ids)
    assert "another tenant" in refused.value.message


@pytest.mark.own_broker
async def test_nothing_is_free_while_the_queue_cannot_be_read(jobs, unfinished, broker):
    await jobs.submit(dataset_id="ds-1")
    assert not await is_free(unfinished)
    broker.kill()
    with pytest.raises(UnavailableError):
        await is_free(unfinished)


def _fill(message: Message, expected: set[str]) -> None:
    """Set every field that may name something to an id of its own."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                continue
            inner = getattr(message, field.name)
            target = inner.add() if field.is_repeated else inner
            target.SetInParent()
            _fill(target, expected)
        elif field.type == FieldDescriptor.TYPE_STRING and field.name not in NOT_INPUTS:
            words = field.name.split("_")
            if "id" in words or "ids" in words:
                wanted = f"file-{len(expected)}"
                expected.add(wanted)
                if field.is_repeated:
                    getattr(message, field.name).append(wanted)
                else:
                    setattr(message, field.name, wanted)


@pytest.mark.parametrize("kind", SPECS, ids=lambda kind: kind.__name__)
def test_every_id_in_a_spec_is_seen(kind: type[Message]) -> None:
    spec, expected = kind(), set[str]()
    _fill(spec, expected)
    request = pb.JobRequested()
    request.spec.update(json_format.MessageToDict(spec, preserving_proto_field_name=True))

    assert expected
    assert input_ids(request) == expected


def test_names_and_metadata_are_no_inputs() -> None:
    request = pb.JobRequested()
    request.spec.update({"name": "ds-1", "metadata": {"file_id": "file-1"}, "text": "see ds-1"})
    assert input_ids(request) == frozenset()
