"""What a request hears that waits for the bus, when the answer and the end of its time are one."""

import asyncio
from collections.abc import Callable, Iterable

from modelmill_bus.errors import StaleWriteError
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.ledger.account import Terms
from modelmill_gateway.domain.ledger.budget import Budget, Limits, Price, need, tenant_budget
from modelmill_gateway.domain.ledger.slots import Size, Slots
from modelmill_gateway.spending.quotas import Quotas, QuotaTerms

SIZE = Size(accounts=2, slots=2)
CALLER = Caller(subject="ann", tenant="acme", scopes=frozenset())


class InstantBook:
    """One budget, written without a moment's wait."""

    def __init__(self) -> None:
        self.on_change: Callable[[Budget, int], None] | None = None
        self.sequence = 1

    def known(self) -> Iterable[tuple[Budget, int]]:
        return [(Budget(tenant_budget("acme"), "acme", Limits(tokens=100)), 1)]

    async def newest(self, budget_id: str) -> tuple[Budget, int] | None:
        raise AssertionError("nobody else writes")

    async def write(self, budget: Budget, expected: int) -> int:
        self.sequence += 1
        return self.sequence


class ErasedBook(InstantBook):
    """One budget whose record was erased after the first write, with its tenant."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0

    async def newest(self, budget_id: str) -> tuple[Budget, int] | None:
        return None

    async def write(self, budget: Budget, expected: int) -> int:
        self.tries += 1
        if self.tries > 1:
            raise StaleWriteError("nothing is there")
        return await super().write(budget, expected)


def quotas_of(book: InstantBook, wait_seconds: float = 0.0) -> Quotas:
    slots = Slots([0] * SIZE.words, SIZE)
    slots.recover()
    return Quotas(book, "holder", slots, QuotaTerms(Terms(), wait_seconds), lambda: 1_000)


async def test_the_lease_of_a_budget_that_was_erased_is_let_go():
    quotas = quotas_of(book := ErasedBook(), wait_seconds=1.0)
    accounts = quotas.of(CALLER)
    async with quotas.admit(accounts, need(10, 0, Price()), 10, Price()):
        pass

    await asyncio.wait_for(quotas.drain(0.5), 60)

    assert book.tries == 2


async def test_a_verdict_that_comes_with_the_end_of_the_wait_is_taken():
    quotas = quotas_of(InstantBook())
    accounts = quotas.of(CALLER)

    async with quotas.admit(accounts, need(10, 0, Price()), 10, Price()):
        assert accounts[0].held.tokens == 10
    assert accounts[0].held.tokens == 0
