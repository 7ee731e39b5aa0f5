"""Evals as this process knows them: followed from EVALS, written by compare-and-set."""

from collections.abc import Sequence
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import TOKEN, eval_state
from modelmill_registry.read_model import ReadModel
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.nearest import no_such

DELETED_SECONDS = 30 * 24 * 3600.0
"""How long it is known that an eval is deleted."""


class EvalBook(ReadModel):
    """Read model of `eval.state.*`."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("eval.state.*",))
        self._store = bus
        self._evals: dict[str, EvalState] = {}

    def get(self, tenant: str, eval_id: str) -> EvalState:
        """One eval. Raises NotFoundError: none, deleted, or another tenant's."""
        found = self._evals.get(eval_id)
        if found is None or found.deleted or found.tenant != tenant:
            raise self._missing(tenant, eval_id)
        return found

    def _missing(self, tenant: str, eval_id: str) -> NotFoundError:
        return no_such("eval", eval_id, "/v1/evals", (each.eval_id for each in self.list(tenant)))

    def list(self, tenant: str) -> Sequence[EvalState]:
        """The tenant's, oldest first."""
        mine = [each for each in self._evals.values() if each.tenant == tenant and not each.deleted]
        return sorted(mine, key=lambda each: each.created_at.ToNanoseconds())

    async def newest(self, tenant: str, eval_id: str) -> Stored[EvalState]:
        """As the bus has it, to be changed and given to `write`.

        Raises:
            NotFoundError: none, deleted, or another tenant's.
            UnavailableError: the bus is away.
        """
        stored = None
        if TOKEN.fullmatch(eval_id):
            stored = await self._store.last(eval_state(eval_id), EvalState)
        if stored is None or stored.body.deleted or stored.body.tenant != tenant:
            raise self._missing(tenant, eval_id)
        return stored

    async def write(self, state: EvalState, *, expected: int) -> int:
        """Store it if the last one has this sequence, 0 for none yet; its own sequence.

        Raises:
            StaleWriteError: somebody else wrote first.
            UnavailableError: the bus is away; it may have been written.
        """
        return await self._store.publish(
            eval_state(state.eval_id),
            state,
            expect_last=expected,
            kept_seconds=DELETED_SECONDS if state.deleted else None,
        )

    def _apply(self, stored: Stored[Any]) -> None:
        if stored.body.deleted:
            self._evals.pop(stored.body.eval_id, None)
            return
        self._evals[stored.body.eval_id] = stored.body
