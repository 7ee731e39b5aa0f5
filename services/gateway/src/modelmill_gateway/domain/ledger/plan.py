"""What a holder should write now: renewals, more for those who wait, and what others ask back."""

from dataclasses import replace

from modelmill_gateway.domain.ledger.account import Account, Demand, Write
from modelmill_gateway.domain.ledger.budget import (
    NOTHING,
    Amounts,
    Budget,
    Lease,
    minus,
    most,
    plus,
)

MODEST_MS = 1_000
"""So long after a recall nothing is taken ahead of need."""


def plan(account: Account, now_ms: int) -> Write | None:
    """The record that should be written; None when the one that there is will do, or is gone."""
    if account.is_erased:
        return None
    seen = account.budget.at(now_ms)
    budget = seen.closing(now_ms, account.terms.grace_ms)
    mine = budget.lease_of(account.holder_id) or Lease(account.holder_id)
    # By the row as it is written: once it is closed it has nothing, and still stands there.
    owes = account.owes
    is_new = not account.met and (owes or bool(account.waiters))
    follows = budget.recall > mine.answered and any(mine.leased)
    renews = owes and _is_due(account, mine, now_ms)
    if not (is_new or follows or renews or account.waiters or account.is_low):
        return None
    if follows:
        account.modest_until_ms = now_ms + MODEST_MS
    if is_new and not account.waiters:
        return _written(account, budget, mine, account.used, now_ms)
    kept = _kept(account, follows=follows, renews=renews)
    updated = budget.with_lease(_row(account, mine, kept, budget.recall, now_ms))
    promised, is_enough = _promised(account, plus(updated.free, minus(kept, account.used)))
    ceiling = most(kept, plus(account.used, promised))
    if not is_enough:
        return _recalling(account, budget, mine, ceiling, now_ms, gives=any(promised))
    if now_ms >= account.modest_until_ms:
        ceiling = _ahead(account, updated, kept, ceiling, promised)
    grew = _exceeds(account, ceiling, mine.ceiling)
    if not (grew or follows or renews or is_new):
        return None
    if renews:
        demand = account.demand
        account.demand = Demand(demand.dearest, before=demand.taken, since_ms=now_ms)
    return _written(account, budget, mine, ceiling, now_ms)


def _is_due(account: Account, mine: Lease, now_ms: int) -> bool:
    """Whether half of the lease's time is over, or as long ago that was found last.

    What is asked for of late must grow old also while a lease grows: each growth is a write, which
    puts off the end of the lease.
    """
    half = account.terms.lease_ms // 2
    return now_ms > mine.expires_ms - half or now_ms - account.demand.since_ms > half


def release_lease(account: Account, now_ms: int) -> Write | None:
    """The record without what this holder does not use, and with all that it settled; None when
    that is what there is."""
    budget = account.budget.at(now_ms)
    mine = budget.lease_of(account.holder_id)
    if account.is_erased or mine is None or not account.owes_by(mine):
        return None
    if mine.settled == account.settled and not _exceeds(account, mine.ceiling, account.used):
        return None
    return _written(account, budget, mine, account.used, now_ms)


def _kept(account: Account, *, follows: bool, renews: bool) -> Amounts:
    """What stays of the ceiling: what nobody uses is given back."""
    used = account.used
    if follows or not account.met:
        return used
    ceiling = most(used, plus(used, account.unused))
    if not renews:
        return ceiling
    demand = account.demand
    if not any(demand.taken) and not any(demand.before) and not any(account.held):
        account.demand = Demand()
        return used
    wanted = account.wanted
    most_unused = plus(used, Amounts(*(2 * each for each in wanted)))
    return Amounts(*map(min, ceiling, most_unused))


def _promised(account: Account, available: Amounts) -> tuple[Amounts, bool]:
    """What those who wait can have, in their order, and whether that is all of them."""
    promised = NOTHING
    for waiter in account.waiters:
        more = plus(promised, waiter.need)
        if any(more[index] > available[index] for index in account.limited):
            return promised, False
        promised = more
    return promised, True


def _ahead(
    account: Account, updated: Budget, kept: Amounts, ceiling: Amounts, promised: Amounts
) -> Amounts:
    """With what will be needed soon, but never more than half of what is left to others.

    Nothing where that is not even enough for one more request.
    """
    free = minus(updated.free, minus(ceiling, kept))
    unused = minus(minus(ceiling, account.used), promised)
    wanted = minus(account.wanted, unused)
    more = [max(0, min(want, left // 2)) for want, left in zip(wanted, free, strict=True)]
    least = account.demand.dearest
    return plus(
        ceiling, Amounts(*(it if it >= least[index] else 0 for index, it in enumerate(more)))
    )


def _recalling(
    account: Account, budget: Budget, mine: Lease, ceiling: Amounts, now_ms: int, *, gives: bool
) -> Write | None:
    """Not enough for all who wait: others are asked for what they do not use.

    Two recalls in a row, all followed and nothing given out from the first on, show that what is
    leased was used at the moment when the second began: a refusal is then a fact.
    """
    everybody = budget.has_followed(account.holder_id) and mine.answered >= budget.recall
    if gives:
        return _written(account, budget, mine, ceiling, now_ms)
    if not (everybody or not budget.recall or mine.answered < budget.recall):
        return None
    if not everybody and budget.recall:
        return _written(account, budget, mine, account.used, now_ms)
    grew = _exceeds(account, account.used, mine.ceiling)
    grants = budget.grants + grew
    begun = replace(
        budget,
        recall=budget.recall + 1,
        grants=grants,
        grants_at_recall=grants,
        quiet_before=bool(budget.recall) and not grew and grants == budget.grants_at_recall,
    )
    row = _row(account, mine, account.used, begun.recall, now_ms)
    return Write(begun.with_lease(row), account.sequence, row.write, begun.recall)


def _written(account: Account, budget: Budget, mine: Lease, ceiling: Amounts, now_ms: int) -> Write:
    row = _row(account, mine, ceiling, budget.recall, now_ms)
    grew = _exceeds(account, ceiling, mine.ceiling)
    body = replace(budget.with_lease(row), grants=budget.grants + grew)
    return Write(body, account.sequence, row.write, 0)


def _row(account: Account, mine: Lease, ceiling: Amounts, recall: int, now_ms: int) -> Lease:
    leased = minus(ceiling, account.settled.amounts)
    limited = account.limited
    return replace(
        mine,
        leased=Amounts(*(max(0, it) if i in limited else 0 for i, it in enumerate(leased))),
        settled=account.settled,
        expires_ms=now_ms + account.terms.lease_ms,
        closed=False,
        answered=recall,
        write=account.next_number(),
    )


def _exceeds(account: Account, ceiling: Amounts, before: Amounts) -> bool:
    return any(ceiling[index] > before[index] for index in account.limited)
