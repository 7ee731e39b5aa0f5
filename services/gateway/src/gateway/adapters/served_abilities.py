"""What engines can do with model versions, as inference tells it of each that it has loaded."""

from typing import Any

from jobs.envelope import Stored
from jobs.subjects import MODEL_SERVING
from modelmill.registry.v1.model_events_pb2 import ServingAbilities
from registry.read_model import Follows, ReadModel


class ServedAbilities(ReadModel):
    """By version, of the engine that loaded it last; it may be freed by now."""

    def __init__(self, bus: Follows) -> None:
        super().__init__(bus, (MODEL_SERVING,))
        self._known: dict[str, ServingAbilities] = {}

    def of(self, version_id: str) -> ServingAbilities | None:
        """None until one has loaded it."""
        return self._known.get(version_id)

    def _apply(self, stored: Stored[Any]) -> None:
        if stored.body.HasField("abilities"):
            self._known[stored.body.version_id] = stored.body.abilities
