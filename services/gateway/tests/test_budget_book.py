"""Limits are set by compare-and-set beside those who lease, and known to every replica."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import TOKEN
from modelmill_gateway.domain.ledger.budget import (
    Amounts,
    Budget,
    Lease,
    Limits,
    Settled,
    tenant_budget,
)
from modelmill_gateway.spending.budget_book import BudgetBook, budget_message, budget_of
from modelmill_testkit.shared_nats import shared_nats
from modelmill_testkit.waiting import eventually


@pytest_asyncio.fixture
async def books() -> AsyncIterator[list[BudgetBook]]:
    """Those of two replicas."""
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(shared_nats())
        opened = []
        for _ in range(2):
            bus = await stack.enter_async_context(Bus.connect(nats.url, nats.token, name="gateway"))
            opened.append(BudgetBook(bus))
        following = [asyncio.create_task(book.run()) for book in opened]
        yield opened
        for task in following:
            task.cancel()


async def test_limits_set_by_one_replica_are_known_to_the_other(books: list[BudgetBook]):
    first, second = books

    await first.put("key-1", "acme", Limits(tokens=100, period="month"), changed_by="ann")

    async def is_known() -> bool:
        return second.get("key-1") is not None

    await eventually(is_known)
    known = second.get("key-1")
    assert known is not None
    assert (known.tenant, known.limits.tokens, known.changed_by) == ("acme", 100, "ann")
    assert known.period_start_ms > 0


async def test_limits_set_by_two_at_once_are_those_of_one_of_them(books: list[BudgetBook]):
    wanted = [Limits(tokens=number, micros=number) for number in range(1, 11)]

    await asyncio.gather(
        *(books[at % 2].put("key-1", "acme", limits) for at, limits in enumerate(wanted))
    )

    newest = await books[0].newest("key-1")
    assert newest is not None
    assert newest[0].limits in wanted


async def test_what_is_spent_and_leased_stays_when_limits_change(books: list[BudgetBook]):
    lease = Lease("holder-1", leased=Amounts(tokens=7))
    await books[0].write(Budget("key-1", "acme", spent_tokens=5, leases=(lease,)), 0)

    changed = await books[0].put("key-1", "acme", Limits(tokens=100))

    assert (changed.spent_tokens, changed.leased.tokens, changed.free.tokens) == (5, 7, 88)


def test_a_record_is_the_same_after_a_journey():
    lease = Lease(
        *("holder-1", Amounts(1, 2, 3, 4, 5), Settled(6, 7, 8)),
        **{"expires_ms": 9_000, "closed": True, "answered": 10, "write": 11},
    )
    budget = Budget(
        *("key-1", "acme", Limits(1, 2, 3, 4, 5, "day"), 12, 13, 14_000, (15, 16), 17, (lease,)),
        **{"recall": 18, "grants": 19, "grants_at_recall": 20, "quiet_before": True},
        changed_by="ann",
    )

    assert budget_of(budget_message(budget)) == budget


def test_a_tenant_has_one_budget_that_is_a_good_subject():
    assert tenant_budget("acme") == tenant_budget("acme") != tenant_budget("other")
    assert TOKEN.fullmatch(tenant_budget("any tenant.*"))
