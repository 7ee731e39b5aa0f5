"""API keys, budgets, and the audit log of changes."""

from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import caller_of, page
from modelmill_gateway.entrypoints.schemas.base import Deleted, Page
from modelmill_gateway.entrypoints.schemas.keys import (
    ApiKey,
    Budget,
    BudgetBody,
    BudgetUsage,
    ChangedKeyBody,
    IssuedApiKey,
    KeyBody,
    KeyLimits,
    ShownApiKey,
)
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.identity.manage_keys import ManageKeys
from modelmill_gateway.spending.budget_book import ManageBudget


class KeyRoutes:
    """/v1/keys."""

    def __init__(self, keys: ManageKeys, budgets: ManageBudget) -> None:
        self._keys = keys
        self._budgets = budgets

    async def issue_key(self, request: Request) -> IssuedApiKey:
        body = await read_body(request, KeyBody)
        state, key = await self._keys.create(body.wanted(), caller_of(request))
        return IssuedApiKey.of(state, **self._judged(state), key=key)

    async def list_keys(self, request: Request) -> Page[ApiKey]:
        mine = self._keys.list(caller_of(request))
        return page(request, mine, self._key, lambda state: state.key_id)

    async def get_key(self, request: Request) -> ShownApiKey:
        key_id, caller = request.path_params["key_id"], caller_of(request)
        state, budget = self._keys.get(key_id, caller), self._budgets.of_key(key_id, caller)
        usage = BudgetUsage.of_budget(budget) if budget else None
        return ShownApiKey.of(state, **self._judged(state), usage=usage)

    async def change_key(self, request: Request) -> ApiKey:
        body = await read_body(request, ChangedKeyBody)
        key_id, caller = request.path_params["key_id"], caller_of(request)
        return self._key(await self._keys.change(key_id, body.requested(), caller))

    async def revoke_key(self, request: Request) -> Deleted:
        key_id = request.path_params["key_id"]
        await self._keys.revoke(key_id, caller_of(request))
        return Deleted(id=key_id, object="api_key")

    async def rotate_key(self, request: Request) -> IssuedApiKey:
        state, key = await self._keys.rotate(request.path_params["key_id"], caller_of(request))
        return IssuedApiKey.of(state, **self._judged(state), key=key)

    def _key(self, state: KeyState) -> ApiKey:
        return ApiKey.of(state, **self._judged(state))

    def _judged(self, state: KeyState) -> dict[str, Any]:
        """What the record of a key does not say itself."""
        limits = KeyLimits.of(self._keys.limits(state.key_id))
        return {"status": self._keys.status(state), "limits": limits}


class BudgetRoutes:
    """/v1/budget."""

    def __init__(self, budget: ManageBudget) -> None:
        self._budget = budget

    async def get_budget(self, request: Request) -> Budget:
        return Budget.of_budget(self._budget.show(caller_of(request)))

    async def put_budget(self, request: Request) -> Budget:
        body = await read_body(request, BudgetBody)
        changed = await self._budget.change(body.limits.limits(), caller_of(request))
        return Budget.of_budget(changed)
