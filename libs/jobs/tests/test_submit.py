"""Accepting jobs."""

import asyncio

import pytest
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobRequested
from modelmill_bus.subjects import job_requested
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    UnavailableError,
)
from modelmill_testkit.waiting import is_once_done


async def test_fifty_submits_of_one_key_make_one_job(jobs, bus):
    submitted = await asyncio.gather(*(jobs.submit("key-1") for _ in range(50)))

    assert sum(job.created for job in submitted) == 1
    assert len({(job.job_id, job.sequence) for job in submitted}) == 1
    assert len([each async for each in bus.replay(["job.requested.>"])]) == 1


async def test_the_same_key_with_another_spec_is_refused(jobs):
    await jobs.submit("key-1", steps=20)

    with pytest.raises(AlreadyExistsError):
        await jobs.submit("key-1", steps=21)


async def test_another_tenants_key_is_another_job_and_no_key_is_always_another(bus, jobs):
    mine, again = await jobs.submit(), await jobs.submit()
    first, other = [
        await JobQueue(bus).submit(
            kind="train",
            prefix="ftjob",
            tenant=tenant,
            requested_by="tester",
            idempotency_key="k",
            spec=Struct(),
        )
        for tenant in ("acme", "other")
    ]

    assert len({mine.job_id, again.job_id, first.job_id, other.job_id}) == 4


async def test_the_request_is_stored_as_it_was_submitted(jobs, bus):
    job = await jobs.submit("key-1", steps=7)
    stored = await bus.last(job_requested("train", "acme", job.job_id), JobRequested)

    assert stored.sequence == job.sequence
    assert (stored.body.kind, stored.body.tenant) == ("train", "acme")
    assert stored.body.spec["steps"] == 7
    assert stored.body.spec_type == "google.protobuf.Struct"


@pytest.mark.own_broker
async def test_with_the_broker_away_a_submit_is_refused_within_four_seconds(broker, jobs):
    broker.kill()

    async def refused() -> None:
        with pytest.raises(UnavailableError):
            await jobs.submit()

    assert await is_once_done(refused, within=4)


@pytest.mark.own_broker
async def test_with_a_silent_broker_a_submit_is_refused_and_the_same_key_settles_it(broker, jobs):
    broker.pause()

    async def refused() -> None:
        with pytest.raises(UnavailableError):
            await jobs.submit("key-1")

    in_time = await is_once_done(refused, within=4)
    broker.resume()
    job = await jobs.submit("key-1")
    again = await jobs.submit("key-1")

    assert in_time
    assert (again.job_id, again.sequence) == (job.job_id, job.sequence)


async def test_a_tenant_that_is_no_token_is_refused(bus):
    with pytest.raises(InvalidInputError, match="tenant"):
        await JobQueue(bus).submit(
            kind="train",
            prefix="ftjob",
            tenant="acme.*",
            requested_by="tester",
            idempotency_key="",
            spec=Struct(),
        )


async def test_at_four_fifths_of_the_stream_new_jobs_are_refused_with_the_remedy(jobs, bus):
    for _ in range(10):
        await jobs.submit()
    js = bus._link.js
    used = (await bus.facts("JOBS")).used_bytes
    config = (await js.stream_info("JOBS")).config
    await js.update_stream(config.evolve(max_bytes=int(used / 0.79)))
    await jobs.submit("key-2")
    remedy = r"JOBS is .* full .*nats stream edit JOBS"
    with pytest.raises(UnavailableError, match=remedy) as refused:
        await jobs.submit("key-3")
    # The queue is everybody's: nobody's limit is exceeded.
    assert (refused.value.reason, refused.value.retry_after_seconds) == ("STREAM_FULL", 60)
    await js.update_stream(config)
    assert (await jobs.submit("key-3")).created
