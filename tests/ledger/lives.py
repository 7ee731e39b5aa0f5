"""How long each request held what it was granted, and what it used, as far as that can be known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.ledger.callers import Asked
from tests.ledger.counting_inference import PROMPT_TOKENS, Generated

FACTS = ("insufficient_quota", "rate_limit_exceeded")
NOT_BEGUN = (*FACTS, "quota_unknown")
"""Refusals that held nothing."""


class Used(NamedTuple):
    """Tokens of a prompt and of its answer."""

    prompt: int = 0
    answer: int = 0


Cost = Callable[[int, int], int]
"""Of tokens of a prompt and of its answer, in what a limit is counted in."""


def tokens(prompt: int, answer: int) -> int:
    """The cost in tokens."""
    return prompt + answer


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
    bound: Used
    used: Used
    """At least."""
    charged: Used
    """At most: one that was cut before its prompt was counted is charged its prompt's bound."""
    reached: bool
    """Inference heard of it."""


def lives_of(
    budget: str,
    asked: Sequence[Asked],
    calls: dict[str, Generated],
    kills: dict[str, list[float]],
) -> list[Life]:
    """Of all requests but those that were refused and held nothing of the budget.

    A replica's death ends what it held.
    """
    found = (_life(budget, each, calls.get(each.name), kills[each.replica]) for each in asked)
    return [life for life in found if life is not None]


def may_have_held(budget: str, asked: Asked) -> bool:
    """Whether one that was refused had its bound here before: budgets are held one after another.

    Of a doubt it is not known which of them it was about.
    """
    refusing = asked.refused_by or asked.budgets[-1]
    return asked.budgets.index(budget) < asked.budgets.index(refusing)


def _life(budget: str, asked: Asked, call: Generated | None, kills: Sequence[float]) -> Life | None:
    died = min((at for at in kills if at >= asked.sent), default=float("inf"))
    bound = Used(asked.prompt_bound, asked.bound - asked.prompt_bound)
    if call is None:
        if asked.code in NOT_BEGUN:
            if not may_have_held(budget, asked):
                return None
            ended = min(asked.answered, died)
            return Life(
                asked.sent, asked.sent, asked.sent, ended, bound, Used(), Used(), reached=False
            )
        # Cut, or failed, before inference heard of it: it may have had its place all the while,
        # and been charged its prompt, for the gateway may have asked already.
        ended, charged = min(asked.ended, died), Used(asked.prompt_bound)
        return Life(
            asked.sent, asked.sent, asked.sent, ended, bound, Used(), charged, reached=False
        )
    left = call.ended if call.whole else asked.ended
    ended = max(asked.ended, call.ended or asked.ended)
    used = Used(PROMPT_TOKENS, call.tokens)
    charged = used if asked.whole else Used(asked.prompt_bound, call.tokens)
    times = (asked.sent, call.began, min(left, died), min(ended, died))
    return Life(*times, bound, used, charged, reached=True)


def spent_between(
    asked: Sequence[Asked], calls: dict[str, Generated], cost: Cost
) -> tuple[int, int]:
    """What may have been settled: exact for whole answers, within bounds for those that were cut.

    Of a cut one at least what its caller saw was delivered, and at most its prompt's bound and all
    that inference generated.
    """
    at_least = at_most = 0
    for each in asked:
        call = calls.get(each.name)
        if each.whole and call is not None:
            at_least += cost(PROMPT_TOKENS, call.tokens)
            at_most += cost(PROMPT_TOKENS, call.tokens)
        elif each.code not in NOT_BEGUN:
            at_least += cost(0, each.seen)
            at_most += cost(each.prompt_bound, call.tokens if call is not None else 0)
    return at_least, at_most


def undelivered(asked: Sequence[Asked], calls: dict[str, Generated], cost: Cost) -> int:
    """What inference made for replicas that were dead, and nobody was charged."""
    cut = [(each, calls[each.name]) for each in asked if not each.whole and each.name in calls]
    return sum(cost(PROMPT_TOKENS * (not it.seen), call.tokens - it.seen) for it, call in cut)
