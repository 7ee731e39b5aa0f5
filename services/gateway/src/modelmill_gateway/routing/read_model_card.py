"""Use case: read the card of a version, which its artifact has."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.model_card import card_of
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.routing.show_models import ShowModels


@dataclass(frozen=True)
class ReadCard:
    """A card as it was read."""

    version_id: str
    card: str | None
    """Markdown with a head in YAML; None where the artifact has none, or is not here."""


class ReadModelCard:
    """Reads one small file of the artifact store."""

    def __init__(
        self, models: ShowModels, versions: ModelCatalogue, store: Callable[[], ArtifactStore]
    ) -> None:
        self._models = models
        self._versions = versions
        self._store = cache(store)

    async def __call__(self, caller: Caller, name: str) -> ReadCard:
        """The card of a version, or of the one that a name stands for.

        Raises:
            ModelNotAllowedError, ModelNotFoundError: as for whoever asks for the model.
            UnavailableError: the artifact store does not answer.
        """
        found = await self._models.one(caller, name)
        if isinstance(found, AliasState):
            found = self._versions.get(caller.tenant, found.version_id)
        return ReadCard(found.version_id, await asyncio.to_thread(self._card, found.digest))

    def _card(self, digest: str) -> str | None:
        try:
            return card_of(self._store(), digest)
        except NotFoundError:
            return None
