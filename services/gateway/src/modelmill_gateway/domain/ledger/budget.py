"""A budget's record, which its holders share: what is settled, and who has a lease of how much.

At every moment `settled + leased <= limit`, and a holder's requests stay within its lease, so that
no more is ever used than the limit. Rates are buckets of one minute's capacity: what is settled
fades by the limit a minute, from when it is told; what is leased does not fade.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from modelmill_gateway.domain.ledger.amounts import (
    MICROS,
    NOTHING,
    RATES,
    TOKENS,
    Amounts,
    Limits,
    Settled,
    minus,
    plus,
    total,
)

MINUTE_MS = 60_000
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Lease:
    """What one holder may use on top of what it has settled, as it told last.

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
