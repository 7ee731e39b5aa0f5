"""What API keys may use at most: the limits in `budget.state.*`, followed and written by CAS."""

import asyncio
from typing import Any

from jobs.bus import Bus
from jobs.envelope import Stored
from jobs.errors import StaleWriteError
from jobs.subjects import budget_state
from modelmill.gateway.v1.gateway_events_pb2 import BudgetState, Limits
from registry.read_model import ReadModel

from gateway.own_writes import until_seen

ATTEMPTS = 5
PAUSE_SECONDS = 0.05


class KeyLimits(ReadModel):
    """Read model of the limits; what is spent and leased in the same records is left as it is."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("budget.state.*",))
        self._store = bus
        self._limits: dict[str, Limits] = {}

    def get(self, budget_id: str) -> Limits:
        """The limits of that id; empty when there are none."""
        return self._limits.get(budget_id) or Limits()

    async def put(self, budget_id: str, tenant: str, limits: Limits) -> None:
        """Let these limits hold from now on.

        Raises:
            StaleWriteError: replicas write to the budget faster than we can.
            UnavailableError: the bus is away; it may have been written.
        """
        subject = budget_state(budget_id)
        for attempt in range(ATTEMPTS):
            stored = await self._store.last(subject, BudgetState)
            state = stored.body if stored is not None else BudgetState(budget_id=budget_id)
            state.tenant = tenant
            state.limits.CopyFrom(limits)
            try:
                expected = stored.sequence if stored is not None else 0
                sequence = await self._store.publish(subject, state, expect_last=expected)
            except StaleWriteError:
                if attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            await until_seen(self, sequence)
            return

    def _apply(self, stored: Stored[Any]) -> None:
        state: BudgetState = stored.body
        self._limits[state.budget_id] = state.limits
