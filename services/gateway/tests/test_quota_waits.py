"""What a request hears that waits for the bus, when the answer and the end of its time are one."""

from collections.abc import Callable, Iterable

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.ledger.account import Terms
from modelmill_gateway.domain.ledger.budget import Budget, Limits, Price, need, tenant_budget
from modelmill_gateway.domain.ledger.slots import Size, Slots
from modelmill_gateway.spending.quotas import Quotas, QuotaTerms

SIZE = Size(accounts=2, slots=2)


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


async def test_a_verdict_that_comes_with_the_end_of_the_wait_is_taken():
    terms = QuotaTerms(Terms(), wait_seconds=0.0)
    slots = Slots([0] * SIZE.words, SIZE)
    slots.recover()
    quotas = Quotas(InstantBook(), "holder", slots, terms, lambda: 1_000)
    accounts = quotas.of(Caller(subject="ann", tenant="acme", scopes=frozenset()))

    async with quotas.admit(accounts, need(10, 0, Price()), 10, Price()):
        assert accounts[0].held.tokens == 10
    assert accounts[0].held.tokens == 0
