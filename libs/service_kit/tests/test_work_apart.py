"""Work of tenants: short here, long in threads, and nobody waits for another's."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest
from modelmill_service_kit.work_apart import (
    APART_SECONDS,
    DEBT_SECONDS,
    LONGEST_REST_SECONDS,
    REPAID_A_SECOND,
    SHARE,
    THREADS,
    Rests,
    WorkApart,
)
from modelmill_testkit.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(clock: Clock) -> Iterator[WorkApart]:
    apart = WorkApart(clock=clock)
    yield apart
    apart.close()


async def is_here(work: WorkApart, tenant: str = "acme") -> bool:
    return await work.run(tenant, threading.get_ident, 1) == threading.get_ident()


async def test_short_work_is_done_on_the_event_loop_however_much_of_it_there_is(
    work: WorkApart,
) -> None:
    for _ in range(10_000):
        work.took("acme", 45e-6, 0)
        work.took("acme", 4e-3, 8000)
    assert await is_here(work)


async def test_who_takes_long_is_apart_and_others_are_not(work: WorkApart) -> None:
    work.took("acme", DEBT_SECONDS / 2, 0)
    assert await is_here(work)
    work.took("acme", DEBT_SECONDS, 0)
    assert not await is_here(work)
    assert await is_here(work, "other")


async def test_now_and_then_long_work_is_forgiven(work: WorkApart, clock: Clock) -> None:
    for _ in range(100):
        work.took("acme", DEBT_SECONDS / 2, 0)
        clock.now += DEBT_SECONDS / 2 / REPAID_A_SECOND
    assert await is_here(work)


async def test_a_machine_that_delays_work_puts_nobody_apart(work: WorkApart) -> None:
    await work.run("acme", partial(time.sleep, 2 * DEBT_SECONDS), 1)
    assert await is_here(work)


async def test_who_is_apart_stays_so_as_long_as_its_work_is_long(
    work: WorkApart, clock: Clock
) -> None:
    work.keep_apart("acme")
    for _ in range(int(APART_SECONDS) * 2):
        clock.now += 1
        work.took("acme", 2 * REPAID_A_SECOND, 0)
        assert not await is_here(work)
    clock.now += APART_SECONDS + 1
    assert await is_here(work)


async def test_a_little_more_than_is_allowed_keeps_nobody_apart(
    work: WorkApart, clock: Clock
) -> None:
    """Where it would not have put anyone there either."""
    work.keep_apart("acme")
    for _ in range(int(APART_SECONDS) + 1):
        clock.now += 1
        work.took("acme", REPAID_A_SECOND / 2, 0)
    assert await is_here(work)


async def test_what_the_garbage_collector_takes_is_nobodys_work(
    work: WorkApart, clock: Clock
) -> None:
    kept = [{"one": [number]} for number in range(200_000)]

    def collect_long() -> None:
        end = time.thread_time() + 4 * DEBT_SECONDS
        while time.thread_time() < end:
            gc.collect()

    await work.run("acme", collect_long, 1)
    work.keep_apart("other")
    clock.now += APART_SECONDS - 1
    await work.run("other", collect_long, 1)
    clock.now += 2

    assert kept
    assert await is_here(work)
    assert await is_here(work, "other")


async def test_long_work_is_apart_whoever_asks(work: WorkApart) -> None:
    here = threading.get_ident()
    assert await work.run("acme", threading.get_ident, 1, long=True) != here
    assert await is_here(work)


async def test_work_with_rests_is_for_threads_alone(work: WorkApart) -> None:
    assert await work.run("acme", lambda: "here", 1, apart=lambda: "apart") == "here"
    work.keep_apart("acme")
    assert await work.run("acme", lambda: "here", 1, apart=lambda: "apart") == "apart"


async def test_a_tenant_has_one_thread_and_leaves_the_others_to_others(work: WorkApart) -> None:
    """As many tenants as there are threads are worked for at once, each on one thing at a time."""
    tenants = [f"tenant-{number}" for number in range(THREADS)]
    all_there, inside, most = threading.Barrier(THREADS), dict.fromkeys(tenants, 0), 0

    def meet(tenant: str) -> None:
        nonlocal most
        inside[tenant] += 1
        most = max(most, inside[tenant])
        all_there.wait(20)
        inside[tenant] -= 1

    for tenant in tenants:
        work.keep_apart(tenant)
    jobs = [work.run(tenant, partial(meet, tenant), 1) for tenant in tenants * 3]
    await asyncio.gather(*jobs)
    assert most == 1


async def test_the_loop_goes_on_beside_long_work(work: WorkApart) -> None:
    done = threading.Event()
    work.keep_apart("acme")
    waiting = asyncio.create_task(work.run("acme", partial(done.wait, 20), 1))
    await asyncio.sleep(0)
    assert await is_here(work, "other")
    assert not waiting.done()
    done.set()
    assert await waiting


async def test_what_goes_wrong_is_told_and_the_next_has_its_turn(work: WorkApart) -> None:
    def wrong() -> None:
        raise ValueError("no")

    for apart in (False, True):
        if apart:
            work.keep_apart("acme")
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await work.run("acme", wrong, 1)


async def test_who_is_cancelled_waits_for_what_is_running_and_begins_nothing(
    work: WorkApart,
) -> None:
    begun, done, after = threading.Event(), threading.Event(), []

    def held() -> None:
        begun.set()
        done.wait(20)
        after.append("held")

    work.keep_apart("acme")
    first = asyncio.create_task(work.run("acme", held, 1))
    second = asyncio.create_task(work.run("acme", partial(after.append, "second"), 1))

    async def has_begun() -> bool:
        return begun.is_set()

    await eventually(has_begun)
    first.cancel()
    second.cancel()
    await asyncio.wait({second})
    assert not first.done()
    done.set()
    await asyncio.wait({first})
    assert first.cancelled()
    assert second.cancelled()
    assert after == ["held"]
    assert await work.run("acme", lambda: "next", 1) == "next"


LONG_SECONDS = 0.005
"""Of a piece of work."""


def be_busy() -> tuple[float, float]:
    """When the work began and ended."""
    begun, end = time.perf_counter(), time.thread_time() + LONG_SECONDS
    while time.thread_time() < end:
        pass
    return begun, time.perf_counter()


async def test_a_tenants_pieces_leave_the_rest_of_the_time_to_others(work: WorkApart) -> None:
    work.keep_apart("acme")
    pieces = await asyncio.gather(*(work.run("acme", be_busy, 1) for _ in range(3)))
    for (_, ended), (begun, _) in pairwise(pieces):
        assert begun - ended > 0.9 * LONG_SECONDS * (1 / SHARE - 1)


def test_so_do_the_steps_of_a_piece() -> None:
    rests = Rests()
    begun, ended = be_busy()
    rests()
    rest = min((ended - begun) * (1 / SHARE - 1), LONGEST_REST_SECONDS)
    assert time.perf_counter() - ended > 0.9 * rest
