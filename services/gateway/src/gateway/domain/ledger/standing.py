"""Where a caller stands with its limits, as far as this process knows without asking."""

from collections.abc import Sequence

from gateway.domain.ledger.account import Account
from gateway.domain.ledger.amounts import MINUTE_TOKENS, RATES, REQUESTS, TOKENS
from gateway.domain.ledger.budget import MINUTE_MS, Budget

Headers = tuple[tuple[bytes, bytes], ...]


def remaining(account: Account, budget: Budget, index: int) -> int:
    """What is left of one limit: nobody's, or this process's own and unused."""
    left = max(0, budget.free[index]) + max(0, account.unused[index])
    return min(left, budget.limits.caps[index])


def quota_headers(accounts: Sequence[Account], now_ms: int) -> Headers:
    """OpenAI's x-ratelimit headers, of the budget that has the least left.

    Tokens are those of a minute, or those of the period where no minute is limited.
    """
    headers: list[tuple[bytes, bytes]] = []
    for name, choices in (("requests", (REQUESTS,)), ("tokens", (MINUTE_TOKENS, TOKENS))):
        known = [
            (remaining(account, budget, index), budget, index)
            for account in accounts
            for budget in (account.budget.at(now_ms),)
            for index in choices
            if budget.limits.caps[index]
        ]
        minute = [each for each in known if each[2] in RATES]
        if not known:
            continue
        left, budget, index = min(minute or known, key=lambda each: each[0])
        headers += _of(name, budget, index, left, now_ms)
    return tuple(headers)


def _of(name: str, budget: Budget, index: int, left: int, now_ms: int) -> list[tuple[bytes, bytes]]:
    cap = budget.limits.caps[index]
    if index in RATES:
        seconds = (cap - left) * MINUTE_MS / cap / 1000
    else:
        seconds = max(0, budget.limits.period_end(now_ms) - now_ms) / 1000
    figures = {"limit": f"{cap}", "remaining": f"{left}", "reset": f"{seconds:.3f}s"}
    return [(f"x-ratelimit-{what}-{name}".encode(), it.encode()) for what, it in figures.items()]
