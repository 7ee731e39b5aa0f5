"""Show what can be asked for: names and the versions behind them."""

from collections.abc import Sequence
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ServingAbilities

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.models import Loading
from modelmill_gateway.routing.find_model import Decides, FindModel


class AliasList(Protocol):
    """Aliases that a tenant can use."""

    def list(self, tenant: str) -> Sequence[AliasState]: ...


class VersionList(Protocol):
    """Versions that a tenant may see, newest first."""

    def list(self, tenant: str) -> Sequence[ModelReady]: ...


class ServedVersions(Protocol):
    """What inference tells of versions."""

    def abilities(self, version_id: str) -> ServingAbilities | None: ...

    def loading(self, version_id: str) -> Loading | None: ...


class ShowModels:
    """Reads only; both lists follow the bus."""

    def __init__(
        self,
        find_model: FindModel,
        aliases: AliasList,
        versions: VersionList,
        decides: Decides,
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
