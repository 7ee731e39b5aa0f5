"""What inference tells of model versions: what its engines can do with them, and what it loads."""

import time
from collections.abc import Callable
from typing import Any

from modelmill.registry.v1.model_events_pb2 import ModelServing, ServingAbilities, ServingState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel
from modelmill_bus.subjects import MODEL_SERVING

from modelmill_gateway.domain.models import Loading

LONGEST_LOAD_SECONDS = 900.0
"""A load that began longer ago is not shown: its replica was killed and will not tell its end."""


class ServedVersions(ReadModel):
    """By version; what was loaded may be freed by now."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.time) -> None:
        super().__init__(bus, (MODEL_SERVING,))
        self._clock = clock
        self._abilities: dict[str, ServingAbilities] = {}
        self._loads: dict[str, dict[str, ModelServing]] = {}
        """By version and replica."""

    def abilities(self, version_id: str) -> ServingAbilities | None:
        """Of the engine that loaded it last; None until one has."""
        return self._abilities.get(version_id)

    def loading(self, version_id: str) -> Loading | None:
        """How far the replica is that loads it, of several the one that began first."""
        now = self._clock()
        began = {
            fact.began_at.ToNanoseconds() / 1e9: fact.expected_seconds
            for fact in self._loads.get(version_id, {}).values()
        }
        recent = [at for at in began if now - at < LONGEST_LOAD_SECONDS]
        if not recent:
            return None
        elapsed = max(0.0, now - min(recent))
        left = began[min(recent)] - elapsed
        return Loading(elapsed, left if left > 0 else None)

    def _apply(self, stored: Stored[Any]) -> None:
        fact: ModelServing = stored.body
        if fact.state == ServingState.SERVING_STATE_LOADING:
            self._loads.setdefault(fact.version_id, {})[fact.replica] = fact
        elif loads := self._loads.get(fact.version_id):
            loads.pop(fact.replica, None)
            if not loads:
                del self._loads[fact.version_id]
        if fact.HasField("abilities"):
            self._abilities[fact.version_id] = fact.abilities
