"""Evals as this process knows them: followed from EVALS, written by compare-and-set."""

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill_bus.bus import Bus
from modelmill_bus.keyed_store import KeyedStore

DELETED_SECONDS = 30 * 24 * 3600.0
"""How long it is known that an eval is deleted."""


class EvalBook(KeyedStore[EvalState]):
    """Read model of `eval.state.*`."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, "eval.state", key="eval_id", noun="eval", listed_at="/v1/evals")

    def _kept_seconds(self, record: EvalState) -> float | None:
        return DELETED_SECONDS if record.deleted else None
