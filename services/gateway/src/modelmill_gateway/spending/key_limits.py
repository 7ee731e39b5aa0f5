"""What API keys may use at most, in the words of their routes; kept in their budgets."""

from modelmill.gateway.v1.gateway_events_pb2 import Limits

from modelmill_gateway.spending.budget_book import BudgetBook, limits_message, limits_of


class KeyLimits:
    """The limits in budgets; what is spent and leased there is left as it is."""

    def __init__(self, budgets: BudgetBook) -> None:
        self._budgets = budgets

    def get(self, budget_id: str) -> Limits:
        """The limits of that id; empty when there are none."""
        budget = self._budgets.get(budget_id)
        return limits_message(budget.limits) if budget is not None else Limits()

    async def put(self, budget_id: str, tenant: str, limits: Limits) -> None:
        """Let these limits hold from now on.

        Raises:
            ConflictError: replicas write to the budget faster than we can.
            UnavailableError: the bus is away; it may have been written.
        """
        await self._budgets.put(budget_id, tenant, limits_of(limits))
