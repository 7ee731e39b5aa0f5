"""Show what can be asked for: names and the versions behind them."""

from collections.abc import Sequence
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady

from gateway.find_model import FindModel


class AliasList(Protocol):
    """Aliases that a tenant can use."""

    def list(self, tenant: str) -> Sequence[AliasState]: ...


class VersionList(Protocol):
    """Versions that a tenant may see, newest first."""

    def list(self, tenant: str) -> Sequence[ModelReady]: ...


class ShowModels:
    """Reads only; both lists follow the bus."""

    def __init__(self, find_model: FindModel, aliases: AliasList, versions: VersionList) -> None:
        self._find_model = find_model
        self._aliases = aliases
        self._versions = versions

    def aliases(self, tenant: str) -> Sequence[AliasState]:
        """Names in force; an own name hides a shared one."""
        return self._aliases.list(tenant)

    def versions(self, tenant: str) -> Sequence[ModelReady]:
        """Every version that the tenant may see, newest first."""
        return self._versions.list(tenant)

    def one(self, tenant: str, name: str) -> AliasState | ModelReady:
        """The alias or version of that name. Raises ModelNotFoundError."""
        return self._find_model.alias(tenant, name) or self._find_model.version(tenant, name)
