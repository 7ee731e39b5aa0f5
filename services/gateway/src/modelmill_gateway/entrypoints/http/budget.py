"""The tenant's budget: shown, and set by an operator."""

from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import caller_of
from modelmill_gateway.entrypoints.schemas.keys import Budget, BudgetBody
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.spending.budget_messages import limits_of
from modelmill_gateway.spending.manage_budget import ManageBudget


class BudgetRoutes:
    """/v1/budget."""

    def __init__(self, budget: ManageBudget) -> None:
        self._budget = budget

    async def get_budget(self, request: Request) -> Budget:
        return Budget.of_budget(self._budget.show(caller_of(request)))

    async def put_budget(self, request: Request) -> Budget:
        body = await read_body(request, BudgetBody)
        limits = limits_of(body.limits.limits())
        return Budget.of_budget(await self._budget.change(limits, caller_of(request)))
