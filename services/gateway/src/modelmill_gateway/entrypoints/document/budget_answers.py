"""Shapes of budgets, with an example of each."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.key_answers import LIMITS, KeyLimits
from modelmill_gateway.entrypoints.document.shape import Answer


class BudgetUsage(Answer):
    """Use of a budget: what is settled in this period, and what replicas hold as leases, used or
    not.
    """

    tokens: int
    money: str
    leased_tokens: int
    leased_money: str
    period_start: int | None


class Budget(Answer):
    """Budget: a tenant's limits and their use."""

    object: Literal["budget"]
    limits: KeyLimits
    usage: BudgetUsage
    changed_by: str


BODY = {"limits": LIMITS}
BUDGET: dict[str, Any] = {
    "object": "budget",
    "limits": {**LIMITS, "money": "12.5"},
    "usage": {
        "tokens": 81_204,
        "money": "3.25",
        "leased_tokens": 4_096,
        "leased_money": "0.05",
        "period_start": 1_793_491_200,
    },
    "changed_by": "ops",
}
