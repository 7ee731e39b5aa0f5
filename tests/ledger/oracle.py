"""What must be true of a run, from what callers, inference and the budgets' records say."""

import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from modelmill_gateway.domain.ledger.budget import (
    MICROS,
    MINUTE_TOKENS,
    PARALLEL,
    RATES,
    REQUESTS,
    TOKENS,
    Budget,
    Price,
)

from tests.ledger.callers import Asked
from tests.ledger.counting_inference import Generated
from tests.ledger.lives import FACTS, Cost, Life, lives_of, spent_between, tokens, undelivered
from tests.ledger.rates import Record, Told, WallClock, over_in_truth

PRICE = Price(2_000_000, 6_000_000)
"""Millionths for a million tokens of prompts and of answers."""
COSTS: dict[int, Cost] = {TOKENS: tokens, MICROS: PRICE.cost}
"""By what is limited of a period."""


@dataclass(frozen=True)
class Findings:
    """Of one budget; see `__main__` for what each figure means."""

    requests: int
    refused: int
    unknown: int
    cut: int
    overshoot: int
    overshoot_in_truth: int
    false_refusals: int
    spent: int
    spent_at_least: int
    spent_at_most: int
    money: int
    money_at_least: int
    money_at_most: int
    leaked: int


def wall_clock() -> WallClock:
    """The one of this machine."""
    ahead = time.time() - time.monotonic()
    return lambda at: round((at + ahead) * 1000)


def findings(
    budgets: Sequence[str],
    asked: Sequence[Asked],
    calls: dict[str, Generated],
    records: Iterable[tuple[float, Budget]],
    kills: dict[str, list[float]],
    clock: WallClock | None = None,
) -> dict[str, Findings]:
    """All that there is to say of each budget.

    A refusal is false if at every moment the request fitted in the budget that refused it; of one
    that names none, in all that it is charged to.
    """
    clock = clock or wall_clock()
    told: dict[str, list[Record]] = {budget_id: [] for budget_id in budgets}
    for at, budget in records:
        if budget.budget_id in told:
            # It says itself when it was written.
            written = at - max(0, clock(at) - budget.faded_at_ms) / 1000
            told[budget.budget_id].append(Record(written, at, budget))
    mine = {it: [each for each in asked if it in each.budgets] for it in budgets}
    lives = {it: lives_of(it, mine[it], calls, kills) for it in budgets}
    judges = {it: _Refusals(lives[it], told[it], clock) for it in budgets}
    false = {
        each.name
        for each in asked
        if _is_refused(each)
        and all(judges[it].is_false(each) for it in _refusing(each) if it in told)
    }
    return {it: _findings(mine[it], calls, lives[it], told[it], false) for it in budgets}


def _refusing(asked: Asked) -> tuple[str, ...]:
    return (asked.refused_by,) if asked.refused_by else asked.budgets


def _is_refused(asked: Asked) -> bool:
    return asked.status == 429 and asked.code in FACTS


def _findings(
    mine: Sequence[Asked],
    calls: dict[str, Generated],
    lives: Sequence[Life],
    told: Sequence[Record],
    false: Container[str],
) -> Findings:
    last = told[-1].budget
    spent, money = (spent_between(mine, calls, COSTS[it]) for it in (TOKENS, MICROS))
    return Findings(
        requests=len(mine),
        refused=sum(map(_is_refused, mine)),
        unknown=sum(each.status == 503 for each in mine),
        cut=sum(not each.whole and each.name in calls for each in mine),
        overshoot=max(_over(record.budget) for record in told),
        overshoot_in_truth=_over_in_truth(mine, calls, lives, last),
        false_refusals=sum(_is_refused(each) and each.name in false for each in mine),
        spent=last.spent_tokens,
        spent_at_least=spent[0],
        spent_at_most=spent[1],
        money=last.spent_micros,
        money_at_least=money[0],
        money_at_most=money[1],
        leaked=sum(last.leased),
    )


def wrongs(found: Findings) -> list[str]:
    """What must not be."""
    names = ("overshoot", "overshoot_in_truth", "false_refusals", "leaked")
    wrong = [f"{name}: {getattr(found, name)}" for name in names if getattr(found, name)]
    for unit, name in (("settled", "spent"), ("millionths settled", "money")):
        least, most = getattr(found, f"{name}_at_least"), getattr(found, f"{name}_at_most")
        if not least <= getattr(found, name) <= most:
            wrong.append(f"{getattr(found, name)} {unit}, and {least} to {most} were used")
    return wrong


def _over(budget: Budget) -> int:
    """By how much settled and leased exceed a limit."""
    free = budget.free
    return max((0, *(-free[index] for index in budget.limits.limited)))


def _over_in_truth(
    asked: Sequence[Asked], calls: dict[str, Generated], lives: Sequence[Life], budget: Budget
) -> int:
    """By how much used and held exceed a limit at most, as inference saw it."""
    most = 0
    for index in budget.limits.limited:
        cap = budget.limits.caps[index]
        cost = tokens if index == MINUTE_TOKENS else COSTS.get(index)
        unpaid = undelivered(asked, calls, cost) if cost is not None else 0
        if index in RATES:
            over = over_in_truth(index, lives, cap)
        else:
            events = _events(lives, index, generously=False)
            over = max((0, *accumulate(more for _, more in events))) - cap
        most = max(most, over - unpaid)
    return most


def _events(lives: Sequence[Life], index: int, *, generously: bool) -> list[tuple[float, int]]:
    """Changes of what is used and held, in order; what is freed comes last."""
    events = []
    for life in lives:
        begin, end = (life.sent, life.ended) if generously else (life.began, life.left)
        left, held = 0, 1
        if index != PARALLEL:
            cost = COSTS[index]
            left, held = cost(*(life.charged if generously else life.used)), cost(*life.bound)
        events += [(begin, held), (max(begin, end), left - held)]
    # What is freed at the very moment was held in it, if that is to be believed generously.
    return sorted(events, key=lambda event: (event[0], -event[1] if generously else event[1]))


class _Refusals:
    """Whether what was refused fitted at every moment from its arrival to its answer."""

    def __init__(self, lives: Sequence[Life], told: Sequence[Record], clock: WallClock) -> None:
        self._told = told
        self._limits = told[-1].budget.limits
        self._rates = {
            index: Told(index, lives, told, clock)
            for index in self._limits.limited
            if index in RATES
        }
        self._events = {
            index: _events(lives, index, generously=True)
            for index in self._limits.limited
            if index not in RATES
        }

    def is_false(self, asked: Asked) -> bool:
        """Whether no limit was exceeded at any moment."""
        caps, answer = self._limits.caps, asked.bound - asked.prompt_bound
        for index, rate in self._rates.items():
            need = 1 if index == REQUESTS else asked.bound
            if rate.most(asked.sent, asked.answered) + need > caps[index]:
                return False
        for index in self._events:
            need = 1 if index == PARALLEL else COSTS[index](asked.prompt_bound, answer)
            most = self._most_held(asked, index) + self._charged(asked, index)
            if most + need > caps[index]:
                return False
        return True

    def _most_held(self, asked: Asked, index: int) -> int:
        held = most = 0
        for at, more in self._events[index]:
            if at > asked.answered:
                break
            if at > asked.sent:
                most = max(most, held)
            held += more
        return max(most, held)

    def _charged(self, asked: Asked, index: int) -> int:
        """Of closed leases, at most of all records in force while the request waited."""
        most = 0
        for number, (written, _, budget) in enumerate(self._told):
            until = self._told[number + 1].heard if number + 1 < len(self._told) else float("inf")
            if written <= asked.answered and until >= asked.sent:
                closed = sum(lease.leased[index] for lease in budget.leases if lease.closed)
                most = max(most, closed)
        return most
