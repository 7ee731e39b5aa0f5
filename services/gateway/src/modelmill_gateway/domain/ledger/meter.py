"""Meter: what one limited request uses, and what its caller hears of limits."""

from collections.abc import Callable, Sequence

from modelmill_gateway.domain.chat import Usage
from modelmill_gateway.domain.errors import QuotaExceededError
from modelmill_gateway.domain.ledger.account import Account, Verdict
from modelmill_gateway.domain.ledger.budget import (
    MINUTE_MS,
    MINUTE_TOKENS,
    PARALLEL,
    RATES,
    REQUESTS,
    TOKENS,
    Amounts,
    Budget,
)
from modelmill_gateway.domain.ledger.slots import Slot

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


def refusal(
    accounts: Sequence[Account], account: Account, verdict: Verdict, now_ms: int
) -> QuotaExceededError:
    """What a caller hears whose request would exceed a limit of `account`, one of `accounts`."""
    budget = account.budget.at(now_ms)
    index, cap = verdict.limit, budget.limits.caps[verdict.limit]
    whose = (
        "the tenant" if budget.budget_id.startswith("tenant-") else f"the key {budget.budget_id}"
    )
    period = f" a {budget.limits.period}" if index > PARALLEL and budget.limits.period else ""
    is_rate = index <= PARALLEL
    lower = " Lower max_tokens" if index in (MINUTE_TOKENS, TOKENS) and verdict.left else ""
    return QuotaExceededError(
        f"{whose} may use {cap} {WORDS[index]}{period}; {verdict.left} are left, and this request"
        f" may need {verdict.need}.{lower or ' Retry later'}",
        code=RATE if is_rate else BUDGET,
        retry_after_seconds=_seconds(budget, index, now_ms),
        headers=quota_headers(accounts, now_ms),
    )


def _seconds(budget: Budget, index: int, now_ms: int) -> float:
    if index == PARALLEL:
        return 1.0
    if index in RATES:
        # Roughly: until a fifth of the minute's capacity is there again.
        return max(1.0, min(60.0, budget.fading[index] / max(1, budget.limits.caps[index]) / 5_000))
    end = budget.limits.period_end(now_ms)
    return min(LONGEST_SECONDS, max(1.0, (end - now_ms) / 1000)) if end else LONGEST_SECONDS


class Meter:
    """Tells the journal how far a request has come, and its accounts how much it used."""

    def __init__(
        self, accounts: list[Account], need: Amounts, slot: Slot, clock: Callable[[], int]
    ) -> None:
        self.accounts = accounts
        self._need = need
        self._slot = slot
        self._clock = clock
        self._answers: dict[int, int] = {}
        self._is_open = True
        self._settled = Usage(0, 0)

    def asked(self) -> None:
        """An engine is about to be asked: from now on the prompt counts."""
        if self._is_open:
            self._slot.asked()

    def refused(self) -> None:
        """The engine did not begin: the prompt counts no more."""
        if self._is_open:
            self._slot.unasked()

    def prompt(self, tokens: int) -> None:
        """The engine has told how long the prompt is."""
        if self._is_open:
            self._slot.prompt(tokens)

    def delivered(self, answer: int, tokens: int) -> None:
        """The answer of that number has so many tokens by now."""
        if self._is_open:
            self._answers[answer] = tokens
            answers = self._answers.values()
            self._slot.delivered(tokens if len(answers) == 1 else sum(answers))

    @property
    def used(self) -> Usage:
        """What would be settled now: of a prompt that was asked and not counted, its bound."""
        return Usage(*self._slot.used) if self._is_open else self._settled

    @property
    def headers(self) -> Headers:
        """The rate-limit headers of this moment."""
        return quota_headers(self.accounts, self._clock())

    def settle(self) -> int:
        """Charge what was used, once; gives its tokens."""
        self._settled, self._is_open = self.used, False
        tokens, micros = self._slot.settle()
        now = self._clock()
        for account in self.accounts:
            account.settle(self._need, tokens, micros, now)
        return tokens
