"""API keys: made, shown, changed, revoked."""

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.bodies.key_body import ChangedKeyBody, KeyBody
from modelmill_gateway.entrypoints.bodies.parsing import read_body
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.views.budget_views import usage_view
from modelmill_gateway.entrypoints.views.job_views import View
from modelmill_gateway.entrypoints.views.key_views import key_view
from modelmill_gateway.entrypoints.views.pages import deleted_view, page_view
from modelmill_gateway.identity.manage_keys import ManageKeys
from modelmill_gateway.spending.manage_budget import ManageBudget


class KeyRoutes:
    """/v1/keys."""

    def __init__(self, keys: ManageKeys, budgets: ManageBudget) -> None:
        self._keys = keys
        self._budgets = budgets

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "issue_key": self._post,
            "list_keys": self._list,
            "get_key": self._get,
            "change_key": self._patch,
            "revoke_key": self._delete,
            "rotate_key": self._rotate,
        }

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, KeyBody)
        state, key = await self._keys.create(body.wanted(), caller_of(request))
        return json_response({**self._view(state), "key": key}, 201)

    async def _list(self, request: Request) -> Response:
        mine = self._keys.list(caller_of(request))
        page = page_of(mine, page_request_of(request), lambda state: state.key_id)
        return json_response(page_view(page, self._view))

    async def _get(self, request: Request) -> Response:
        key_id, caller = request.path_params["key_id"], caller_of(request)
        shown = self._view(self._keys.get(key_id, caller))
        budget = self._budgets.of_key(key_id, caller)
        return json_response({**shown, "usage": usage_view(budget) if budget else None})

    async def _patch(self, request: Request) -> Response:
        body = await read_body(request, ChangedKeyBody)
        key_id, caller = request.path_params["key_id"], caller_of(request)
        return json_response(self._view(await self._keys.change(key_id, body.requested(), caller)))

    async def _delete(self, request: Request) -> Response:
        key_id = request.path_params["key_id"]
        await self._keys.revoke(key_id, caller_of(request))
        return json_response(deleted_view("api_key", key_id))

    async def _rotate(self, request: Request) -> Response:
        state, key = await self._keys.rotate(request.path_params["key_id"], caller_of(request))
        return json_response({**self._view(state), "key": key})

    def _view(self, state: KeyState) -> View:
        return key_view(state, self._keys.status(state), self._keys.limits(state.key_id))
