"""Aliases: names that callers use for a model, moved from version to version by compare-and-set."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import SHARED_TENANT, ReadModel
from modelmill_bus.subjects import alias_state, token


def split_versions(alias: AliasState) -> list[str]:
    """Versions that an alias of kind split names beside its own: variants, shadow and fallback."""
    fields = alias.options.fields
    if "kind" not in fields or fields["kind"].string_value != "split":
        return []
    said = MessageToDict(alias.options)
    entries = [*_many(said.get("variants")), said.get("shadow")]
    named = [entry.get("version_id") for entry in entries if isinstance(entry, dict)]
    return [each for each in (*named, *_many(said.get("fallback"))) if isinstance(each, str)]


def _many(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


class AliasBook(ReadModel):
    """Which version each name stands for; a tenant's own name hides a shared one.

    Args:
        bus: Where aliases live.
        now: The time of day, in UTC.
    """

    def __init__(self, bus: Bus, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(bus, ("alias.state.*.*",))
        self._aliases: dict[tuple[str, str], Stored[AliasState]] = {}
        self._now = now

    def get(self, tenant: str, name: str) -> AliasState | None:
        """The tenant's alias or the shared one; None when there is none or it was removed."""
        for owner in (tenant, SHARED_TENANT):
            stored = self._aliases.get((owner, name))
            if stored is not None and stored.body.version_id:
                return stored.body
        return None

    def tenants(self) -> set[str]:
        """Owners of any, also of removed ones."""
        return {owner for owner, _ in self._aliases}

    def list(self, tenant: str) -> list[AliasState]:
        """Every alias that the tenant can use, sorted by name."""
        names = {name for owner, name in self._aliases if owner in (tenant, SHARED_TENANT)}
        found = (self.get(tenant, name) for name in sorted(names))
        return [alias for alias in found if alias is not None]

    def stored(self, tenant: str, name: str) -> Stored[AliasState] | None:
        """The tenant's own alias, also a removed one; None when it never was."""
        return self._aliases.get((tenant, name))

    def sequence(self, tenant: str, name: str) -> int:
        """Sequence of the tenant's own alias, also of a removed one; 0 when it never was.

        What `move` takes as `expected`.
        """
        stored = self._aliases.get((tenant, name))
        return stored.sequence if stored is not None else 0

    async def move(
        self,
        tenant: str,
        name: str,
        version_id: str,
        *,
        moved_by: str,
        expected: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> int:
        """Let the tenant's alias stand for another version.

        Args:
            tenant: Owner.
            name: The alias.
            version_id: What it stands for from now on; empty removes it.
            moved_by: Who does it, for the record.
            expected: Sequence of the alias that the decision was based on, 0 for none yet. None
                takes the newest there is: a move by two at once still has one winner.
            options: Of an alias that is more than a version, such as a cascade; see the proto.

        Returns:
            The new sequence.

        Raises:
            StaleWriteError: Somebody else moved it first; nothing was changed.
            InvalidInputError: The tenant, name or version id is malformed.
            UnavailableError: The bus is away; whether the move was made is not known.
        """
        subject = alias_state(tenant, name)
        if version_id:
            token(version_id, "model version id")
        if expected is None:
            newest = await self._bus.last(subject, AliasState)
            expected = newest.sequence if newest is not None else 0
        alias = AliasState(tenant=tenant, name=name, version_id=version_id, moved_by=moved_by)
        alias.options.update(options or {})
        alias.moved_at.FromDatetime(self._now())
        return await self._bus.publish(subject, alias, expect_last=expected)

    def _apply(self, stored: Stored[Any]) -> None:
        # The subject says whose alias it is: that is what the broker's permissions guard.
        _, _, tenant, name = stored.subject.split(".")
        self._aliases[tenant, name] = stored
