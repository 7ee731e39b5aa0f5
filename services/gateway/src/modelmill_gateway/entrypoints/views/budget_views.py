"""Budgets as they are read: limits, and what is used of them."""

from modelmill_gateway.adapters.budget_messages import limits_message
from modelmill_gateway.domain.ledger.budget import Budget
from modelmill_gateway.entrypoints.views.job_views import View
from modelmill_gateway.entrypoints.views.key_views import limits_view, money


def budget_view(budget: Budget) -> View:
    """A tenant's budget."""
    return {
        "object": "budget",
        "limits": limits_view(limits_message(budget.limits)),
        "usage": usage_view(budget),
        "changed_by": budget.changed_by,
    }


def usage_view(budget: Budget) -> View:
    """What is used: settled, and what replicas have leased on top of it, used or not."""
    settled, leased = budget.settled, budget.leased
    started = budget.period_start_ms
    return {
        "tokens": settled.tokens,
        "money": money(settled.micros),
        "leased_tokens": leased.tokens,
        "leased_money": money(leased.micros),
        "period_start": started // 1000 if started else None,
    }
