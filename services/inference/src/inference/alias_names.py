"""What aliases name, in memory: a request is resolved once, without anybody being asked.

An alias that moves is followed here when its new version is warm here. Until then the one before
answers: a replica that others have overtaken keeps nobody waiting for a load.
"""

from collections.abc import Callable

from jobs.envelope import Stored
from modelmill.registry.v1.model_events_pb2 import AliasState
from registry.read_model import SHARED_TENANT

Alias = tuple[str, str]
"""Tenant and name."""
Named = tuple[str, str]
"""Tenant and version."""


class AliasNames:
    """The newest state of each alias; a tenant's own name hides a shared one."""

    def __init__(self) -> None:
        self._told: dict[Alias, Stored[AliasState]] = {}
        self._followed: dict[Alias, str] = {}
        """Versions that requests go to; empty for a removed alias."""

    def set(self, stored: Stored[AliasState], *, at_once: bool) -> None:
        """Take in a state as the bus told it; a removal and a first version are followed at once.

        Args:
            at_once: follow it, ready or not.
        """
        # The subject says whose alias it is: that is what the broker's permissions guard.
        _, _, tenant, name = stored.subject.split(".")
        alias, version_id = (tenant, name), stored.body.version_id
        self._told[alias] = stored
        if at_once or not version_id or not self._followed.get(alias):
            self._followed[alias] = version_id

    def follow_ready(self, is_ready: Callable[[Named], bool]) -> None:
        """Follow moves whose version is ready, or will never be."""
        for alias, stored in self._told.items():
            named = (alias[0], stored.body.version_id)
            if self._followed[alias] != named[1] and is_ready(named):
                self._followed[alias] = named[1]

    def version_of(self, tenant: str, model: str) -> str:
        """The version that the tenant means; what is no alias, or a removed one, stays as it is."""
        for owner in (tenant, SHARED_TENANT):
            version_id = self._followed.get((owner, model))
            if version_id:
                return version_id
        return model

    def named(self) -> dict[Named, Stored[AliasState]]:
        """What aliases name by their newest state, with the move that came last to name it."""
        return {
            (tenant, stored.body.version_id): stored
            for (tenant, _), stored in self._told.items()
            if stored.body.version_id
        }

    def in_use(self) -> frozenset[str]:
        """Versions that requests go to by an alias, or will."""
        newest = {version_id for _, version_id in self.named()}
        return frozenset(newest | set(filter(None, self._followed.values())))
