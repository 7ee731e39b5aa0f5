"""A refusal in words, and when it is worth to ask again."""

from modelmill_gateway.domain.errors import QuotaExceededError
from modelmill_gateway.domain.ledger.amounts import PARALLEL, RATES
from modelmill_gateway.domain.ledger.budget import Budget
from modelmill_gateway.domain.ledger.waiting import Verdict

RATE = "rate_limit_exceeded"
BUDGET = "insufficient_quota"
LONGEST_SECONDS = 86_400.0
NAMES = ("requests", "minute_tokens", "parallel", "tokens", "micros")
"""Of the limits, by their index."""
WORDS = (
    "requests in a minute",
    "tokens in a minute",
    "requests at a time",
    "tokens",
    "millionths of the currency",
)


def refusal(budget: Budget, verdict: Verdict, now_ms: int) -> QuotaExceededError:
    """What a caller hears whose request would exceed a limit."""
    index, cap = verdict.limit, budget.limits.caps[verdict.limit]
    whose = (
        "the tenant" if budget.budget_id.startswith("tenant-") else f"the key {budget.budget_id}"
    )
    period = f" a {budget.limits.period}" if index > PARALLEL and budget.limits.period else ""
    is_rate = index <= PARALLEL
    return QuotaExceededError(
        f"{whose} may use {cap} {WORDS[index]}{period}, and this request would exceed that",
        code=RATE if is_rate else BUDGET,
        retry_after_seconds=_seconds(budget, index, now_ms),
    )


def _seconds(budget: Budget, index: int, now_ms: int) -> float:
    if index == PARALLEL:
        return 1.0
    if index in RATES:
        # Roughly: until a fifth of the minute's capacity is there again.
        return max(1.0, min(60.0, budget.fading[index] / max(1, budget.limits.caps[index]) / 5_000))
    end = budget.limits.period_end(now_ms)
    return min(LONGEST_SECONDS, max(1.0, (end - now_ms) / 1000)) if end else LONGEST_SECONDS
