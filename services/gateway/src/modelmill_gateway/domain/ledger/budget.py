"""Budgets: what limits count, what a request needs at most, and the record that holders share.

At every moment `settled + leased <= limit`, and a holder's requests stay within its lease, so that
no more is ever used than the limit. Rates are buckets of one minute's capacity: what is settled
fades by the limit a minute, from when it is told; what is leased does not fade.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from modelmill_gateway.domain.chat import ChatCall

Period = Literal["", "day", "month"]
PERIODS: tuple[Period, ...] = ("", "day", "month")


class Amounts(NamedTuple):
    """What limits count: requests and tokens a minute, parallel requests, tokens, micros."""

    requests: int = 0
    minute_tokens: int = 0
    parallel: int = 0
    tokens: int = 0
    micros: int = 0


REQUESTS, MINUTE_TOKENS, PARALLEL, TOKENS, MICROS = EVERY = range(5)
RATES = (REQUESTS, MINUTE_TOKENS)
NOTHING = Amounts()


class Settled(NamedTuple):
    """Total use so far; it only grows. A request counts when it begins."""

    requests: int = 0
    tokens: int = 0
    micros: int = 0

    @property
    def amounts(self) -> Amounts:
        """Against which limits it counts; a request that ended is not parallel to any."""
        return Amounts(self.requests, self.tokens, 0, self.tokens, self.micros)


def plus(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The sum."""
    return Amounts(*(one + other for one, other in zip(first, second, strict=True)))


def minus(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The difference; may be below zero."""
    return Amounts(*(one - other for one, other in zip(first, second, strict=True)))


def least(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The smaller one of each."""
    return Amounts(*map(min, first, second))


def most(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The larger one of each."""
    return Amounts(*map(max, first, second))


def total(amounts: Iterable[Amounts]) -> Amounts:
    """All of them together."""
    summed = NOTHING
    for each in amounts:
        summed = plus(summed, each)
    return summed


@dataclass(frozen=True)
class Limits:
    """Limits of a budget; 0 sets no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    parallel_requests: int = 0
    tokens: int = 0
    micros: int = 0
    period: Period = ""

    @property
    def caps(self) -> Amounts:
        """By the thing that is limited."""
        rates = (self.requests_per_minute, self.tokens_per_minute)
        return Amounts(*rates, self.parallel_requests, self.tokens, self.micros)

    @property
    def limited(self) -> tuple[int, ...]:
        """Which of them have a limit."""
        return tuple(index for index, cap in enumerate(self.caps) if cap)

    def period_start(self, now_ms: int) -> int:
        """When the period began in which `now_ms` lies, in milliseconds; 0 without periods."""
        if not self.period:
            return 0
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        start = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.period == "month":
            start = start.replace(day=1)
        return round(start.timestamp()) * 1000

    def period_end(self, now_ms: int) -> int:
        """When the next one begins, in milliseconds; 0 without periods."""
        if not self.period:
            return 0
        days = 1 if self.period == "day" else 32
        return self.period_start(self.period_start(now_ms) + days * 86_400_000 + 3_600_000)


MILLION = 1_000_000
DEFAULT = "*"


class Price(NamedTuple):
    """Millionths of the currency for a million tokens of prompts, and of answers."""

    prompt: int = 0
    answer: int = 0

    def cost(self, prompt_tokens: int, answer_tokens: int) -> int:
        """What they cost together, rounded up to the next millionth."""
        return -(-(prompt_tokens * self.prompt + answer_tokens * self.answer) // MILLION)


class Prices:
    """Prices by model name or alias; "*" is for all others, and nothing when it is not there.

    Args:
        listed: currency for a million tokens of prompts and of answers, as decimal strings.

    Raises:
        ValueError: a price is no number from 0 on, or finer than a millionth.
    """

    def __init__(self, listed: Mapping[str, tuple[str, str]]) -> None:
        self.are_any = bool(listed)
        self._by_name = {
            name: Price(_micros(name, prompt), _micros(name, answer))
            for name, (prompt, answer) in listed.items()
        }
        self._default = self._by_name.get(DEFAULT, Price())

    def of(self, *names: str) -> Price:
        """The price of the first name that has one."""
        return next((self._by_name[it] for it in names if it in self._by_name), self._default)


def _micros(name: str, text: str) -> int:
    try:
        micros = Decimal(text) * MILLION
        whole = int(micros)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"the price of {name!r} is no decimal number: {text!r}") from error
    if whole != micros or whole < 0:
        raise ValueError(f"the price of {name!r} must be whole millionths from 0 on: {text!r}")
    return whole


PROMPT_TOKENS = 256
"""Of a template's own words, a system turn of its own among them."""
TURN_TOKENS = 32
TOOL_TOKENS = 64
JSON_AGAIN = 4
"""A schema written with indents is at most so many times as long as without."""
TEXT_TOKENS = 8
"""Of a text to be embedded: where it begins and ends."""


def prompt_bound(call: ChatCall) -> int:
    """Tokens that the prompt has at most."""
    if call.raw:
        return TEXT_TOKENS + _bytes(turn.content for turn in call.turns)
    tokens = PROMPT_TOKENS + _bytes(turn.content for turn in call.turns)
    tokens += TURN_TOKENS * len(call.turns)
    for turn in call.turns:
        for made in turn.calls:
            tokens += TOOL_TOKENS + _bytes((made.id, made.name))
            tokens += JSON_AGAIN * _bytes((made.arguments,))
        tokens += _bytes((turn.tool_call_id,))
    for tool in call.tools:
        tokens += TOOL_TOKENS + JSON_AGAIN * _bytes((tool.name, tool.description, tool.parameters))
    return tokens


def texts_bound(texts: Sequence[str]) -> int:
    """Tokens that texts have at most, each on its own."""
    return TEXT_TOKENS * len(texts) + _bytes(texts)


def need(prompt_tokens: int, answer_tokens: int, price: Price) -> Amounts:
    """What one request needs of each limit."""
    tokens = prompt_tokens + answer_tokens
    return Amounts(1, tokens, 1, tokens, price.cost(prompt_tokens, answer_tokens))


def _bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


MINUTE_MS = 60_000
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Lease:
    """Lease: what one holder may use beyond what it has settled, as it reported last.

    `answered` is the last recall it followed: at that time it had nothing unused. `write` counts
    its writes. A closed lease counts as used; its holder may still come back and tell better.
    """

    holder_id: str
    leased: Amounts = NOTHING
    settled: Settled = field(default_factory=Settled)
    expires_ms: int = 0
    closed: bool = False
    answered: int = 0
    write: int = 0

    @property
    def ceiling(self) -> Amounts:
        """How far what is settled and held may go, counted from the holder's beginning."""
        return plus(self.leased, self.settled.amounts)


@dataclass(frozen=True)
class Budget:
    """The record; `fading` is times 60,000, so that a millisecond takes away a limit's worth."""

    budget_id: str
    tenant: str
    limits: Limits = field(default_factory=Limits)
    spent_tokens: int = 0
    spent_micros: int = 0
    period_start_ms: int = 0
    fading: tuple[int, int] = (0, 0)
    faded_at_ms: int = 0
    leases: tuple[Lease, ...] = ()
    recall: int = 0
    """Counts how often somebody needed what others have and do not use."""
    grants: int = 0
    """Counts what was given out."""
    grants_at_recall: int = 0
    quiet_before: bool = False
    """When the last recall began, all had followed the one before and nothing was given since."""
    changed_by: str = ""

    def at(self, now_ms: int) -> "Budget":
        """The record as time alone has changed it."""
        now_ms = max(now_ms, self.faded_at_ms)
        caps, passed = self.limits.caps, now_ms - self.faded_at_ms
        left = [max(0, self.fading[index] - caps[index] * passed) for index in RATES]
        faded = replace(self, fading=(left[0], left[1]), faded_at_ms=now_ms)
        start = self.limits.period_start(now_ms)
        if start <= self.period_start_ms:
            return faded
        kept = tuple(lease for lease in faded.leases if not lease.closed)
        return replace(faded, spent_tokens=0, spent_micros=0, period_start_ms=start, leases=kept)

    @property
    def settled(self) -> Amounts:
        """What is used up and was told."""
        requests, tokens = (-(-amount // MINUTE_MS) for amount in self.fading)
        return Amounts(requests, tokens, 0, self.spent_tokens, self.spent_micros)

    @property
    def leased(self) -> Amounts:
        """What all holders have."""
        return total(lease.leased for lease in self.leases)

    @property
    def free(self) -> Amounts:
        """What nobody has; below zero where a limit was lowered."""
        return minus(self.limits.caps, plus(self.settled, self.leased))

    def lease_of(self, holder_id: str) -> Lease | None:
        """The holder's row, if it has one."""
        return next((each for each in self.leases if each.holder_id == holder_id), None)

    def others(self, holder_id: str) -> Iterable[Lease]:
        """Rows of other holders that may have something unused."""
        return (
            each
            for each in self.leases
            if each.holder_id != holder_id and not each.closed and any(each.leased)
        )

    def has_followed(self, holder_id: str) -> bool:
        """Whether every other holder has followed the last recall."""
        return all(each.answered >= self.recall for each in self.others(holder_id))

    def with_lease(self, lease: Lease) -> "Budget":
        """With the holder's row as it is now; what it settled since its last is settled here."""
        before = self.lease_of(lease.holder_id)
        rest = tuple(each for each in self.leases if each.holder_id != lease.holder_id)
        if before is None:
            return replace(self, leases=(*rest, lease))
        more = minus(lease.settled.amounts, before.settled.amounts)
        fading = self.fading
        if not before.closed:  # else it was counted when the row was closed
            fading = (fading[0] + more[0] * MINUTE_MS, fading[1] + more[1] * MINUTE_MS)
        return replace(
            self,
            leases=(*rest, lease),
            spent_tokens=self.spent_tokens + more[TOKENS],
            spent_micros=self.spent_micros + more[MICROS],
            fading=fading,
        )

    def closing(self, now_ms: int, grace_ms: int) -> "Budget":
        """With the rows closed whose holders did not tell for so long, and old ones dropped."""
        rows, spent, fading = [], [self.spent_tokens, self.spent_micros], [*self.fading]
        for lease in self.leases:
            late = now_ms - lease.expires_ms
            if late > DAY_MS and (lease.closed or not any(lease.leased)):
                spent[0] += lease.leased.tokens
                spent[1] += lease.leased.micros
                continue
            if not lease.closed and late > grace_ms and any(lease.leased):
                for index in RATES:
                    fading[index] += lease.leased[index] * MINUTE_MS
                gone = lease.leased._replace(requests=0, minute_tokens=0, parallel=0)
                lease = replace(lease, closed=True, leased=gone)
            rows.append(lease)
        return replace(
            self,
            leases=tuple(rows),
            spent_tokens=spent[0],
            spent_micros=spent[1],
            fading=(fading[0], fading[1]),
        )


NAMES_OF_TENANTS = uuid.UUID("6a1d3a0e-9a1f-4b52-8f5e-0d6a7c1f2b43")


def tenant_budget(tenant: str) -> str:
    """Id of the budget of a whole tenant; of a key it is the key's own id."""
    return f"tenant-{uuid.uuid5(NAMES_OF_TENANTS, tenant).hex}"
