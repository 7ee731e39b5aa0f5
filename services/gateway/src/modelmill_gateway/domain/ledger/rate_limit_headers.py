"""Where a caller stands with its limits, as far as this process knows without asking."""

from collections.abc import Sequence

from modelmill_gateway.domain.ledger.account import Account
from modelmill_gateway.domain.ledger.amounts import MINUTE_TOKENS, RATES, REQUESTS, TOKENS
from modelmill_gateway.domain.ledger.budget import MINUTE_MS, Budget

Headers = tuple[tuple[bytes, bytes], ...]


def remaining(account: Account, index: int, now_ms: int) -> int:
    """What is left of one limit: nobody's, or this process's own and unused."""
    budget = account.budget
    cap, free = budget.limits.caps[index], account.free[index]
    if index in RATES:
        free += cap * (now_ms - budget.faded_at_ms) // MINUTE_MS
    return min(max(0, free) + max(0, account.unused[index]), cap)


def quota_headers(accounts: Sequence[Account], now_ms: int) -> Headers:
    """OpenAI's x-ratelimit headers, of the budget that has the least left.

    Tokens are those of a minute, or those of the period where no minute is limited.
    """
    headers: list[tuple[bytes, bytes]] = []
    for name, choices in (("requests", (REQUESTS,)), ("tokens", (MINUTE_TOKENS, TOKENS))):
        for index in choices:
            known = [
                (remaining(account, index, now_ms), account.budget)
                for account in accounts
                if index in account.limited
            ]
            if known:
                left, budget = min(known, key=lambda each: each[0])
                headers += _of(name, budget, index, left, now_ms)
                break
    return tuple(headers)


def _of(name: str, budget: Budget, index: int, left: int, now_ms: int) -> list[tuple[bytes, bytes]]:
    cap = budget.limits.caps[index]
    if index in RATES:
        seconds = (cap - left) * MINUTE_MS / cap / 1000
    else:
        seconds = max(0, budget.limits.period_end(now_ms) - now_ms) / 1000
    figures = {"limit": f"{cap}", "remaining": f"{left}", "reset": f"{seconds:.3f}s"}
    return [(f"x-ratelimit-{what}-{name}".encode(), it.encode()) for what, it in figures.items()]
