"""What aliases name now, in memory: a request is resolved once, without anybody being asked."""

from jobs.envelope import Stored
from modelmill.registry.v1.model_events_pb2 import AliasState
from registry.read_model import SHARED_TENANT


class AliasNames:
    """The newest state of each alias; a tenant's own name hides a shared one."""

    def __init__(self) -> None:
        self._aliases: dict[tuple[str, str], Stored[AliasState]] = {}

    def set(self, stored: Stored[AliasState]) -> None:
        """Take in a state as the bus told it."""
        # The subject says whose alias it is: that is what the broker's permissions guard.
        _, _, tenant, name = stored.subject.split(".")
        self._aliases[tenant, name] = stored

    def version_of(self, tenant: str, model: str) -> str:
        """The version that the tenant means; what is no alias, or a removed one, stays as it is."""
        for owner in (tenant, SHARED_TENANT):
            stored = self._aliases.get((owner, model))
            if stored is not None and stored.body.version_id:
                return str(stored.body.version_id)
        return model

    def named(self) -> dict[tuple[str, str], Stored[AliasState]]:
        """Tenant and version of all that aliases name, with the move that came last to name it."""
        return {
            (tenant, stored.body.version_id): stored
            for (tenant, _), stored in self._aliases.items()
            if stored.body.version_id
        }
