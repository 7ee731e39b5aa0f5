"""Callers with limits, and what their budgets say."""

from typing import Any

import httpx
from modelmill.gateway.v1.gateway_events_pb2 import BudgetState
from modelmill_bus.subjects import budget_state
from modelmill_gateway.domain.ledger.budget import Budget, Limits, tenant_budget
from modelmill_gateway.spending.budget_book import BudgetBook, budget_of
from modelmill_testkit.waiting import eventually

from gateway_support.document import checked
from gateway_support.house import NO_TLS, House


def chat(text: str = "hi", **fields: Any) -> dict[str, Any]:
    """A chat's body."""
    return {"model": "default", "messages": [{"role": "user", "content": text}]} | fields


async def limited_key(
    house: House, *, tenant: str = "acme", **limits: Any
) -> tuple[str, httpx.AsyncClient]:
    """A key with these limits, by its id, and a client that shows it."""
    async with house.http(tenant=tenant) as owner:
        made = await owner.post("/v1/keys", json={"name": "limited", "limits": limits})
    assert made.status_code == 201, made.text
    client = httpx.AsyncClient(
        base_url=house.url,
        headers={"authorization": f"Bearer {made.json()['key']}"},
        timeout=60,
        verify=NO_TLS,
        event_hooks={"response": [checked]},
    )
    return made.json()["id"], client


async def set_tenant_limits(house: House, tenant: str, **limits: Any) -> None:
    """Let the tenant have these limits, as an operator says."""
    book = BudgetBook(house.bus)
    state = Budget(tenant_budget(tenant), tenant, Limits(**limits))
    await book.write(state, 0)


async def budget(house: House, budget_id: str) -> Budget:
    """The record as the bus has it."""
    stored = await house.bus.last(budget_state(budget_id), BudgetState)
    assert stored is not None
    return budget_of(stored.body)


async def whole_budget(house: House, budget_id: str, *, spent: int) -> Budget:
    """The record, once it says that so much is spent: within a lease or so."""

    async def says_so() -> bool:
        return (await budget(house, budget_id)).spent_tokens >= spent

    await eventually(says_so)
    found = await budget(house, budget_id)
    assert found.spent_tokens == spent
    return found
