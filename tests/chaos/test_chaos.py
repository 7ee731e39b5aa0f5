"""A short run of `make chaos`: the job protocol keeps its promises, and the control does not."""

import signal

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_state
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually

from tests.chaos.fleet import Fleet, Place
from tests.chaos.fsyncs import count_fsyncs
from tests.chaos.oracle import judge, read_history
from tests.chaos.plan import Plan
from tests.chaos.seed_run import Customer, run_seed

SHORT = Plan(jobs=12, faults=14, steps=16, pause_seconds=(0.1, 0.5))
CONTROL = Plan(jobs=1, workers=2, steps=25, step_seconds=0.08, save_every=1, compare_and_set=False)
ZOMBIES = 4
"""At most: one that happens to look before it writes learns what it is, even in the control."""


@pytest.mark.timeout(180)
async def test_whatever_dies_no_job_is_lost_and_none_is_done_twice(tmp_path):
    run = await run_seed(SHORT, 1, tmp_path)

    assert run.verdict.broken == {}
    assert run.verdict.accepted == 12
    assert sum(run.faults.values()) >= 14
    assert run.drained_seconds is not None


@pytest.mark.timeout(180)
async def test_without_compare_and_set_a_zombie_writes(tmp_path):
    accepted: dict[str, int] = {}
    async with (
        run_nats(tmp_path / "nats") as broker,
        Fleet.running(broker.url, broker.token, CONTROL, tmp_path) as fleet,
        Bus.connect(broker.url, broker.token, name="chaos") as bus,
    ):
        for number in range(ZOMBIES):
            customer = Customer(bus, CONTROL, number)
            await customer.hand_in_all()
            accepted |= customer.accepted
            (job_id,) = customer.accepted
            await _make_zombie(bus, fleet, job_id)
            if judge(await read_history(bus, accepted)).zombies_accepted:
                return
    pytest.fail("no zombie's write was accepted")


async def _make_zombie(bus: Bus, fleet: Fleet, job_id: str) -> None:
    """Freeze the job's owner until another one has got further; returns once the job succeeded."""

    async def state() -> JobState:
        stored = await bus.last(job_state(job_id), JobState)
        return stored.body if stored else JobState()

    async def saved(*, step: int = 0, unlike: str = "") -> JobState | None:
        now = await state()
        return now if now.checkpoint.step > step and now.owner != unlike else None

    async def succeeded() -> bool:
        return (await state()).status == JOB_STATUS_SUCCEEDED

    held = await eventually(saved)
    assert held is not None
    frozen = _place_of(fleet, held.owner).freeze()
    before = await state()
    await eventually(lambda: saved(step=before.checkpoint.step, unlike=held.owner))
    frozen.send_signal(signal.SIGCONT)
    await eventually(succeeded, within=30)


def _place_of(fleet: Fleet, owner: str) -> Place:
    (place,) = [each for each in fleet.places if each.holds(owner)]
    return place


async def test_an_accepted_job_is_on_the_disk(tmp_path):
    seen = await count_fsyncs(tmp_path, submits=20)
    if seen.not_checked:
        pytest.skip(seen.not_checked)
    assert seen.fsyncs >= 20
