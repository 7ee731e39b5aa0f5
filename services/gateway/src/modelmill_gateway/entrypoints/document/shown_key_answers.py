"""Shape of one API key with what is used of its limits, with an example."""

from typing import Any

from modelmill_gateway.entrypoints.document.budget_answers import BUDGET, BudgetUsage
from modelmill_gateway.entrypoints.document.key_answers import KEY, ApiKey


class ShownApiKey(ApiKey):
    """Record of an API key and its use; `usage` is null for a key that never had limits."""

    usage: BudgetUsage | None


SHOWN: dict[str, Any] = {**KEY, "usage": BUDGET["usage"]}
