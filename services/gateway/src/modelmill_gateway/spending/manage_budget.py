"""Show and set what a whole tenant may use."""

from dataclasses import dataclass

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.ledger.budget import Budget, Limits, tenant_budget
from modelmill_gateway.spending.budget_book import BudgetBook


@dataclass(frozen=True)
class ManageBudget:
    """The caller's own tenant's; keys have theirs by `ManageKeys`."""

    budgets: BudgetBook

    def show(self, caller: Caller) -> Budget:
        """Limits, and what is used of them; without any when nobody set one."""
        budget_id = tenant_budget(caller.tenant)
        return self.budgets.get(budget_id) or Budget(budget_id, caller.tenant)

    def of_key(self, key_id: str, caller: Caller) -> Budget | None:
        """The same of a key of the caller's tenant; None when it never had limits."""
        found = self.budgets.get(key_id)
        return found if found is not None and found.tenant == caller.tenant else None

    async def change(self, limits: Limits, caller: Caller) -> Budget:
        """Let these limits hold, in place of those before; what is used stays.

        Raises:
            ConflictError: replicas write to the budget faster than we can.
            UnavailableError: the bus is away; it may have been written.
        """
        return await self.budgets.put(
            *(tenant_budget(caller.tenant), caller.tenant, limits), changed_by=caller.subject
        )
