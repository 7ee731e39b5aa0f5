"""The tenant's budget: shown, and set by an operator."""

from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.adapters.budget_messages import limits_of
from modelmill_gateway.entrypoints.bodies.key_body import LimitsBody
from modelmill_gateway.entrypoints.bodies.parsing import StrictBody, read_body
from modelmill_gateway.entrypoints.http.requests import Handlers, caller_of, json_response
from modelmill_gateway.entrypoints.views.budget_views import budget_view
from modelmill_gateway.spending.manage_budget import ManageBudget


class BudgetBody(StrictBody):
    """Request body of PUT /v1/budget."""

    limits: LimitsBody
    """All of them, in place of those before; none takes them away."""


class BudgetRoutes:
    """/v1/budget."""

    def __init__(self, budget: ManageBudget) -> None:
        self._budget = budget

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {"get_budget": self._get, "put_budget": self._put}

    async def _get(self, request: Request) -> Response:
        return json_response(budget_view(self._budget.show(caller_of(request))))

    async def _put(self, request: Request) -> Response:
        body = await read_body(request, BudgetBody)
        limits = limits_of(body.limits.limits())
        return json_response(budget_view(await self._budget.change(limits, caller_of(request))))
