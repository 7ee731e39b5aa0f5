"""Budgets of keys and tenants: followed from BUDGETS, written by compare-and-set."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import BudgetState
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import CATCH_UP_SECONDS, ReadModel
from modelmill_bus.subjects import budget_state
from modelmill_service_kit.errors import ConflictError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.ledger.budget import (
    PERIODS,
    Amounts,
    Budget,
    Lease,
    Limits,
    Settled,
    tenant_budget,
)

TRIES = 20


def milliseconds() -> int:
    """The time of day, by which records are dated."""
    return time.time_ns() // 1_000_000


class BudgetBook(ReadModel):
    """Read model of `budget.state.*`; knows every budget that has or had limits."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("budget.state.*",))
        self._budgets: dict[str, Stored[BudgetState]] = {}
        self.on_change: Callable[[Budget, int], None] | None = None
        """Called with each record and its sequence, as it comes."""

    def get(self, budget_id: str) -> Budget | None:
        """What is known of a key's or tenant's budget; None when it never had limits."""
        stored = self._budgets.get(budget_id)
        return budget_of(stored.body).at(milliseconds()) if stored is not None else None

    def limits(self, budget_id: str) -> Limits:
        """The limits of that id; empty when there are none."""
        stored = self._budgets.get(budget_id)
        return limits_of(stored.body.limits) if stored is not None else Limits()

    def tenants(self) -> set[str]:
        """Owners of any."""
        return {stored.body.tenant for stored in self._budgets.values()}

    def known(self) -> Iterator[tuple[Budget, int]]:
        """All budgets that are known here, as they were written, with their sequences."""
        for stored in self._budgets.values():
            yield budget_of(stored.body), stored.sequence

    async def put(
        self, budget_id: str, tenant: str, limits: Limits, *, changed_by: str = ""
    ) -> Budget:
        """Set the limits, and leave what is spent and leased as it is.

        A period that is another than before begins with nothing spent.

        Raises:
            ConflictError: the record was written by others all the while.
            UnavailableError: the bus is away; whether they are set is not known.
        """
        for _ in range(TRIES):
            newest = await self.newest(budget_id)
            now = milliseconds()
            old, expected = newest or (Budget(budget_id, tenant, faded_at_ms=now), 0)
            new = replace(old.at(now), limits=limits, changed_by=changed_by).at(now)
            try:
                sequence = await self.write(new, expected)
            except StaleWriteError:
                continue
            await self.wait_for(sequence, CATCH_UP_SECONDS)
            return new
        raise ConflictError("the budget is being written by others. Try again")

    async def newest(self, budget_id: str) -> tuple[Budget, int] | None:
        """The record as the bus has it, and its sequence.

        Raises:
            UnavailableError: the bus is away.
        """
        stored = await self._bus.last(budget_state(budget_id), BudgetState)
        return (budget_of(stored.body), stored.sequence) if stored is not None else None

    async def write(self, budget: Budget, expected: int) -> int:
        """Store the record if the last one has this sequence, 0 for none yet; its own sequence.

        Raises:
            StaleWriteError: somebody else wrote first.
            UnavailableError: the bus is away; it may have been written, or may be later.
        """
        subject = budget_state(budget.budget_id)
        return await self._bus.publish(subject, budget_message(budget), expect_last=expected)

    def _apply(self, stored: Stored[Any]) -> None:
        self._budgets[stored.body.budget_id] = stored
        if self.on_change is not None:
            self.on_change(budget_of(stored.body), stored.sequence)


_SAME = (
    *("budget_id", "tenant", "spent_tokens", "spent_micros", "faded_at_ms", "recall"),
    *("grants", "grants_at_recall", "quiet_before", "changed_by"),
)
"""Fields of a budget that are written as they are."""
_SAME_OF_LEASES = ("holder_id", "closed", "answered", "write")


def budget_message(budget: Budget) -> pb.BudgetState:
    """The record as it is written."""
    return pb.BudgetState(
        **{name: getattr(budget, name) for name in _SAME},
        limits=limits_message(budget.limits),
        period_start=_timestamp(budget.period_start_ms),
        fading_requests=budget.fading[0],
        fading_tokens=budget.fading[1],
        leases=map(_lease_message, budget.leases),
    )


def budget_of(message: pb.BudgetState) -> Budget:
    """The record as it is reckoned with."""
    return Budget(
        **{name: getattr(message, name) for name in _SAME},
        limits=limits_of(message.limits),
        period_start_ms=_milliseconds(message.period_start),
        fading=(message.fading_requests, message.fading_tokens),
        leases=tuple(map(_lease_of, message.leases)),
    )


def limits_message(limits: Limits) -> pb.Limits:
    """Limits as they are written."""
    return pb.Limits(**asdict(limits))


def limits_of(message: pb.Limits) -> Limits:
    """Limits as they are reckoned with."""
    known = {each.name: getattr(message, each.name) for each in fields(Limits)}
    return Limits(**{**known, "period": message.period if message.period in PERIODS else ""})


def _lease_message(lease: Lease) -> pb.BudgetLease:
    return pb.BudgetLease(
        **{name: getattr(lease, name) for name in _SAME_OF_LEASES},
        leased=pb.Amounts(**lease.leased._asdict()),
        settled=pb.Amounts(**lease.settled._asdict()),
        expires_at=_timestamp(lease.expires_ms),
    )


def _lease_of(message: pb.BudgetLease) -> Lease:
    leased, settled = message.leased, message.settled
    return Lease(
        **{name: getattr(message, name) for name in _SAME_OF_LEASES},
        leased=Amounts(*(getattr(leased, name) for name in Amounts._fields)),
        settled=Settled(*(getattr(settled, name) for name in Settled._fields)),
        expires_ms=_milliseconds(message.expires_at),
    )


def _timestamp(milliseconds: int) -> Timestamp | None:
    if not milliseconds:
        return None
    stamp = Timestamp()
    stamp.FromMilliseconds(milliseconds)
    return stamp


def _milliseconds(stamp: Any) -> int:
    return int(stamp.ToMilliseconds())


@dataclass(frozen=True)
class ManageBudget:
    """The caller's own tenant's; keys have theirs by `ManageKeys`."""

    budgets: BudgetBook

    def show(self, caller: Caller) -> Budget:
        """Limits, and what is used of them; without any when nobody set one."""
        budget_id = tenant_budget(caller.tenant)
        return self.budgets.get(budget_id) or Budget(budget_id, caller.tenant)

    def of_key(self, key_id: str, caller: Caller) -> Budget | None:
        """The same of a key of the caller's tenant; None when it never had limits."""
        found = self.budgets.get(key_id)
        return found if found is not None and found.tenant == caller.tenant else None

    async def change(self, limits: Limits, caller: Caller) -> Budget:
        """Let these limits hold, in place of those before; what is used stays.

        Raises:
            ConflictError: replicas write to the budget faster than we can.
            UnavailableError: the bus is away; it may have been written.
        """
        return await self.budgets.put(
            *(tenant_budget(caller.tenant), caller.tenant, limits), changed_by=caller.subject
        )
