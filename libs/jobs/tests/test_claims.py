"""Claim and fence: who may write a job's state."""

import asyncio

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED, JobRequested, JobState
from modelmill_bus.subjects import job_requested, job_state
from modelmill_jobs.claims import Claim
from modelmill_jobs.errors import Fenced
from modelmill_testkit.waiting import eventually


@pytest.fixture
def never() -> asyncio.Event:
    return asyncio.Event()


async def request_of(bus, job) -> JobRequested:
    return (await bus.last(job_requested("train", "acme", job.job_id), JobRequested)).body


async def test_of_fifty_claims_at_once_one_wins(bus, jobs, never):
    job = await jobs.submit()
    request = await request_of(bus, job)
    claims = [Claim(bus, request, None, never) for _ in range(50)]
    outcomes = await asyncio.gather(
        *(claim.take(f"worker-{number}") for number, claim in enumerate(claims)),
        return_exceptions=True,
    )

    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, Fenced) for outcome in outcomes) == 49
    winner = claims[outcomes.index(None)]
    stored = await bus.last(job_state(job.job_id), JobState)
    assert winner.fence == stored.sequence
    assert await winner.is_ours()


async def test_a_claim_that_another_took_over_can_write_nothing(bus, jobs, never):
    job = await jobs.submit()
    request = await request_of(bus, job)
    zombie = Claim(bus, request, None, never)
    await zombie.take("zombie")
    heir = Claim(bus, request, await bus.last(job_state(job.job_id), JobState), never)
    await heir.take("heir")

    with pytest.raises(Fenced):
        await zombie.write(zombie.copy())
    assert not await zombie.is_ours()
    assert heir.fence > zombie.fence
    assert heir.state.lost == 1
    assert (await jobs.state(job.job_id)).owner == "heir"


@pytest.mark.own_broker
async def test_a_write_whose_answer_got_lost_counts_once(broker, bus, jobs, never):
    job = await jobs.submit()
    claim = Claim(bus, await request_of(bus, job), None, never)
    broker.pause()
    taking = asyncio.create_task(claim.take("worker"))
    # The broker keeps what the frozen process got, and the client has given up on the answer.
    await eventually(lambda: bus._link.client.stats["out_msgs"] > 0)
    done, _ = await asyncio.wait({taking}, timeout=2.5)
    broker.resume()
    await asyncio.wait_for(taking, 60)

    assert not done
    assert [state.attempt for state in await jobs.states(job.job_id)] == [1]
    assert claim.fence == (await bus.last(job_state(job.job_id), JobState)).sequence


@pytest.mark.own_broker
async def test_a_stopping_worker_waits_for_a_broker_only_so_long(broker, bus, jobs):
    from modelmill_service_kit.errors import UnavailableError

    stopping = asyncio.Event()
    job = await jobs.submit()
    claim = Claim(bus, await request_of(bus, job), None, stopping, give_up_seconds=0.5)
    broker.kill()
    stopping.set()

    with pytest.raises(UnavailableError):
        await asyncio.wait_for(claim.take("worker"), 60)


async def test_a_write_that_was_cancelled_before_its_answer_does_not_cost_the_claim(
    bus, jobs, never, monkeypatch
):
    job = await jobs.submit()
    claim = Claim(bus, await request_of(bus, job), None, never)
    await claim.take("worker")
    publish, landed = bus.publish, asyncio.Event()

    async def without_an_answer(*args, **options):
        await publish(*args, **options)
        landed.set()
        await asyncio.Event().wait()

    saved = claim.copy()
    saved.checkpoint.step = 3
    monkeypatch.setattr(bus, "publish", without_an_answer)
    saving = asyncio.create_task(claim.write(saved))
    await landed.wait()
    saving.cancel()
    await asyncio.wait([saving])
    monkeypatch.setattr(bus, "publish", publish)

    assert await claim.is_ours()
    ended = claim.copy()
    ended.status = JOB_STATUS_QUEUED
    await claim.write(ended)
    state = await jobs.state(job.job_id)
    assert (state.status, state.checkpoint.step) == (JOB_STATUS_QUEUED, 3)
