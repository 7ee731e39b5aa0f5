"""Amounts: what limits count, what a request needs of them at most, and what it costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from modelmill_gateway.domain.chat import ChatCall

Period = Literal["", "day", "month"]
PERIODS: tuple[Period, ...] = ("", "day", "month")


class Amounts(NamedTuple):
    """One of each: requests and tokens of a minute, requests at a time, tokens, millionths."""

    requests: int = 0
    minute_tokens: int = 0
    parallel: int = 0
    tokens: int = 0
    micros: int = 0


REQUESTS, MINUTE_TOKENS, PARALLEL, TOKENS, MICROS = EVERY = range(5)
RATES = (REQUESTS, MINUTE_TOKENS)
NOTHING = Amounts()


class Settled(NamedTuple):
    """What was used up, in all; it only grows. A request counts when it begins."""

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
    """What may be used at most; 0 sets no limit."""

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
