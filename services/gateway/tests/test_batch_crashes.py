"""Batches whose workers die or are stopped: every request is answered once in the output."""

import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_support.batches import ended, line, ordered, rows_of
from gateway_support.evals import items_of, made, rows, run_ended, sampled
from gateway_support.house import House, run_house
from gateway_support.process import settings_of
from modelmill_testkit.service_process import ServiceProcess, running_service
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.tier("drills")

LINES = 40
PARALLEL = 4
NAMES = {f"ask-{number}" for number in range(LINES)}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Its own gateway answers people and works on nothing."""
    async with run_house(tmp_path, role="serve") as running:
        yield running


@asynccontextmanager
async def worker(house: House, work_root: Path) -> AsyncIterator[ServiceProcess]:
    """A gateway in a process, that works and answers nobody."""
    settings = settings_of(
        house,
        role="work",
        work_root=str(work_root),
        batch_parallel=str(PARALLEL),
        claim_seconds="1",
    )
    async with running_service("gateway", settings) as service:
        yield service


async def stands_still(house: House, answered: int) -> None:
    """Return once so many more requests are answered, and as many as may wait for theirs."""
    house.inference.hold_after = len(house.inference.requests) + answered
    await eventually(lambda: house.inference.in_flight >= PARALLEL)


@pytest.mark.parametrize("seed", range(2))
async def test_a_worker_that_is_killed_at_any_moment_costs_what_was_in_flight_and_no_more(
    house: House, tmp_path: Path, seed: int
):
    draw = random.Random(seed)
    client = house.openai()
    batch = await ordered(client, [line(name) for name in sorted(NAMES)])
    kills = 3
    for _ in range(kills):
        async with worker(house, tmp_path / "work") as service:
            await stands_still(house, draw.randrange(1, 10))
            await service.stop(signal.SIGKILL)
        await eventually(lambda: house.inference.in_flight == 0)
    house.inference.hold_after = None
    async with worker(house, tmp_path / "work"):
        batch = await ended(client, batch.id, within=60)
    rows = await rows_of(client, batch.output_file_id)

    assert batch.request_counts.model_dump() == {"total": LINES, "completed": LINES, "failed": 0}
    assert set(rows) == NAMES
    assert LINES < len(house.inference.requests) <= LINES + kills * PARALLEL
    files = [each async for each in client.files.list(purpose="batch_output")]
    assert [each.id for each in files] == [batch.output_file_id]


async def test_a_worker_that_is_stopped_leaves_all_answers_to_one_on_another_machine(
    house: House, tmp_path: Path
):
    client = house.openai()
    batch = await ordered(client, [line(name) for name in sorted(NAMES)])
    for number in range(2):
        async with worker(house, tmp_path / f"machine-{number}") as service:
            await stands_still(house, 7)
            assert await service.stop(within=30) == 0
    house.inference.hold_after = None
    async with worker(house, tmp_path / "machine-2"):
        batch = await ended(client, batch.id, within=60)

    assert set(await rows_of(client, batch.output_file_id)) == NAMES
    assert len(house.inference.requests) <= LINES + 2 * PARALLEL


async def test_a_batch_that_was_cancelled_with_its_worker_dead_ends_with_what_was_durable(
    house: House, tmp_path: Path
):
    client = house.openai()
    batch = await ordered(client, [line(name) for name in sorted(NAMES)])
    async with worker(house, tmp_path / "work") as service:
        await stands_still(house, 5)
        await service.stop(signal.SIGKILL)
    assert (await client.batches.cancel(batch.id)).status == "cancelling"
    async with worker(house, tmp_path / "work"):
        batch = await ended(client, batch.id, within=60)

    assert batch.status == "cancelled"


async def test_a_run_of_an_eval_whose_worker_is_killed_goes_on_behind_what_it_had(
    house: House, tmp_path: Path
):
    client = house.openai()
    found = await made(client)
    content = rows(*["Hello, world"] * LINES)
    run = await client.evals.runs.create(found.id, data_source=sampled(content))
    async with worker(house, tmp_path / "work") as service:
        await stands_still(house, 9)
        await service.stop(signal.SIGKILL)
    house.inference.hold_after = None
    async with worker(house, tmp_path / "work"):
        run = await run_ended(client, found.id, run.id)
    items = await items_of(client, run)

    assert (run.result_counts.passed, len(items)) == (LINES, LINES)
    assert len({item.id for item in items}) == LINES
    assert len(house.inference.requests) <= LINES + PARALLEL
