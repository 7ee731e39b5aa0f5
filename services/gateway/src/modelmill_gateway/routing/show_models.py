"""Show what can be asked for: names and the versions behind them."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from modelmill.registry.v1.model_events_pb2 import (
    AliasState,
    ModelReady,
    ModelServing,
    ServingAbilities,
    ServingState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel
from modelmill_bus.subjects import MODEL_SERVING
from modelmill_registry.aliases import AliasBook
from modelmill_registry.catalogue import ModelCatalogue

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.models import Loading
from modelmill_gateway.routing.find_model import DefaultBuilds, FindModel

LONGEST_LOAD_SECONDS = 900.0
"""A load that began longer ago is not shown: its replica was killed and will not tell its end."""


class ServedVersions(ReadModel):
    """Read model of what engines serve, by version; what was loaded may be freed by now."""

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


class ShowModels:
    """Reads only; both lists follow the bus."""

    def __init__(
        self,
        find_model: FindModel,
        aliases: AliasBook,
        versions: ModelCatalogue,
        decides: DefaultBuilds,
        served: ServedVersions,
    ) -> None:
        self._find_model = find_model
        self._decides = decides
        self._served = served
        self._aliases = aliases
        self._versions = versions

    def aliases(self, caller: Caller) -> Sequence[AliasState]:
        """Names in force that the caller may ask for; an own name hides a shared one."""
        found = self._aliases.list(caller.tenant)
        return [alias for alias in found if caller.may_ask(alias.name)]

    def versions(self, caller: Caller) -> Sequence[ModelReady]:
        """Every version that the caller may ask for, by its id or its name; newest first."""
        found = self._versions.list(caller.tenant)
        return [each for each in found if caller.may_ask(each.version_id, each.name)]

    def asked_by(self, caller: Caller) -> dict[str, ModelReady]:
        """The versions, by what the caller may ask for them by; newest first.

        That is the id; where the key allows only a name, the name, with what serves it. A name that
        is an alias is none of a version.
        """
        aliases = {alias.name for alias in self._aliases.list(caller.tenant)}
        found: dict[str, ModelReady] = {}
        for version in self.versions(caller):
            if caller.may_ask(version.version_id):
                found[version.version_id] = version
            elif version.name not in aliases:
                found.setdefault(version.name, self._decides.served_form(version) or version)
        return found

    def serving(self, version: ModelReady) -> str | None:
        """Id of the version that its name is served by; None while that is not decided."""
        served = self._decides.served_form(version)
        return served.version_id if served is not None else None

    def abilities(self, version_id: str) -> ServingAbilities | None:
        """What the engine that loaded it last can do with it; None until one has."""
        return self._served.abilities(version_id)

    def loading(self, version_id: str) -> Loading | None:
        """How far an engine is with loading it; None while none does."""
        return self._served.loading(version_id)

    async def one(self, caller: Caller, name: str) -> AliasState | ModelReady:
        """The alias, the version of that id, or what serves a version of that name.

        While that is not decided it is the version itself.

        Raises:
            ModelNotAllowedError, ModelNotFoundError: as for whoever asks it.
        """
        caller.require_model(name)
        alias = self._find_model.alias(caller.tenant, name)
        if alias is not None:
            return alias
        version = await self._find_model.version(caller.tenant, name)
        if version.version_id == name:
            return version
        return self._decides.served_form(version) or version
