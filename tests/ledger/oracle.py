"""What must be true of a run, from what callers, inference and the budgets' records say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.domain.ledger.budget import Budget
from gateway.domain.ledger.names import tenant_budget

from tests.ledger.callers import Asked
from tests.ledger.counting_inference import PROMPT_TOKENS, Generated

FACTS = ("insufficient_quota", "rate_limit_exceeded")


@dataclass(frozen=True)
class Life:
    """When a request held its bound, and what it used in the end."""

    sent: float
    began: float
    """When it was surely held: inference was asked."""
    left: float
    """Until when it was surely held."""
    ended: float
    """Until when it may have been."""
    bound: int
    used: int
    charged: int
    """At most: one that was cut before its prompt was counted is charged its prompt's bound."""


@dataclass(frozen=True)
class Findings:
    """Of one tenant; see `__main__` for what each figure means."""

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
    leaked: int


def findings(
    tenant: str,
    asked: Sequence[Asked],
    calls: dict[str, Generated],
    records: Iterable[tuple[float, Budget]],
    kills: dict[str, list[float]],
) -> Findings:
    """All that there is to say of one tenant."""
    mine = [each for each in asked if each.tenant == tenant]
    told = [it for it in records if it[1].budget_id == tenant_budget(tenant)]
    budgets = [budget for _, budget in told]
    last = budgets[-1]
    lives = [life for each in mine if (life := _life(each, calls, kills)) is not None]
    refused = [each for each in mine if each.status == 429 and each.code in FACTS]
    at_least, at_most = _spent_between(mine, calls)
    leased = last.leased
    return Findings(
        requests=len(mine),
        refused=len(refused),
        unknown=sum(each.status == 503 for each in mine),
        cut=sum(not each.whole and each.name in calls for each in mine),
        overshoot=max(map(_over, budgets)),
        overshoot_in_truth=max(0, _over_in_truth(lives, last) - _undelivered(mine, calls)),
        false_refusals=sum(_is_false(each, lives, told) for each in refused),
        spent=last.spent_tokens,
        spent_at_least=at_least,
        spent_at_most=at_most,
        leaked=leased.tokens + leased.parallel,
    )


def wrongs(found: Findings) -> list[str]:
    """What must not be."""
    names = ("overshoot", "overshoot_in_truth", "false_refusals", "leaked")
    wrong = [f"{name}: {getattr(found, name)}" for name in names if getattr(found, name)]
    if not found.spent_at_least <= found.spent <= found.spent_at_most:
        span = f"{found.spent_at_least} to {found.spent_at_most}"
        wrong.append(f"{found.spent} settled, and {span} were used")
    return wrong


def _over(budget: Budget) -> int:
    """By how much settled and leased exceed the limit of tokens, or of requests at a time."""
    free, caps = budget.free, budget.limits.caps
    return max(0, *(-free[index] for index in (2, 3) if caps[index]))


def _life(asked: Asked, calls: dict[str, Generated], kills: dict[str, list[float]]) -> Life | None:
    """None of a request that was refused. A replica's death ends what it held."""
    call = calls.get(asked.name)
    died = min((at for at in kills[asked.replica] if at >= asked.sent), default=float("inf"))
    if call is None:
        # Cut before inference heard of it: it may have had its place all the while.
        held = Life(asked.sent, asked.sent, asked.sent, min(asked.ended, died), asked.bound, 0, 0)
        return held if not asked.status else None
    left = call.ended if call.whole else asked.ended
    ended = max(asked.ended, call.ended or asked.ended)
    used = PROMPT_TOKENS + call.tokens
    charged = used if asked.whole else asked.prompt_bound + call.tokens
    return Life(
        *(asked.sent, call.began, min(left, died), min(ended, died)),
        bound=asked.bound,
        used=used,
        charged=charged,
    )


def _spent_between(asked: Sequence[Asked], calls: dict[str, Generated]) -> tuple[int, int]:
    """What may have been settled: exact for whole answers, within bounds for those that were cut.

    Of a cut one at least what its caller saw was delivered, and at most its prompt's bound and all
    that inference generated.
    """
    at_least = at_most = 0
    for each in asked:
        call = calls.get(each.name)
        if call is None:
            continue
        if each.whole:
            at_least += PROMPT_TOKENS + call.tokens
            at_most += PROMPT_TOKENS + call.tokens
        else:
            at_least += each.seen
            at_most += each.prompt_bound + call.tokens
    return at_least, at_most


def _undelivered(asked: Sequence[Asked], calls: dict[str, Generated]) -> int:
    """Tokens that inference made for replicas that were dead, and nobody was charged."""
    cut = [(each, calls[each.name]) for each in asked if not each.whole and each.name in calls]
    return sum(call.tokens - each.seen + PROMPT_TOKENS * (not each.seen) for each, call in cut)


def _events(lives: Sequence[Life], *, generously: bool) -> list[tuple[float, int, int]]:
    """Changes of tokens and of requests at a time, in order; what is freed comes last."""
    events = []
    for life in lives:
        begin, end = (life.sent, life.ended) if generously else (life.began, life.left)
        events.append((begin, life.bound, 1))
        left = life.charged if generously else life.used
        events.append((max(begin, end), left - life.bound, -1))
    # What is freed at the very moment was held in it, if that is to be believed generously.
    return sorted(events, key=lambda event: (event[0], -event[2] if generously else event[2]))


def _over_in_truth(lives: Sequence[Life], budget: Budget) -> int:
    """By how much used and held exceed the limit of tokens at most, as inference saw it."""
    cap, tokens, most = budget.limits.tokens, 0, 0
    for _, more, _ in _events(lives, generously=False):
        tokens += more
        most = max(most, tokens)
    return max(0, most - cap) if cap else 0


def _is_false(asked: Asked, lives: Sequence[Life], told: Sequence[tuple[float, Budget]]) -> bool:
    """Whether it fitted at every moment from its arrival to its answer."""
    caps, tokens, parallel = told[-1][1].limits.caps, 0, 0
    most_tokens = most_parallel = 0
    for at, more, count in _events(lives, generously=True):
        if at > asked.answered:
            break
        if at > asked.sent:
            most_tokens, most_parallel = max(most_tokens, tokens), max(most_parallel, parallel)
        tokens, parallel = tokens + more, parallel + count
    most_tokens = max(most_tokens, tokens) + _charged(asked, told)
    exceeds_tokens = bool(caps.tokens) and most_tokens + asked.bound > caps.tokens
    exceeds_parallel = bool(caps.parallel) and max(most_parallel, parallel) + 1 > caps.parallel
    return not (exceeds_tokens or exceeds_parallel)


def _charged(asked: Asked, told: Sequence[tuple[float, Budget]]) -> int:
    """Tokens of closed leases, at most of all records in force while the request waited."""
    most = 0
    for number, (at, budget) in enumerate(told):
        until = told[number + 1][0] if number + 1 < len(told) else float("inf")
        if at <= asked.answered and until >= asked.sent:
            closed = sum(lease.leased.tokens for lease in budget.leases if lease.closed)
            most = max(most, closed)
    return most
