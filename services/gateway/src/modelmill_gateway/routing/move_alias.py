"""Let a name mean another version: bring the version up first, then swap by compare-and-set."""

from collections.abc import Mapping
from typing import Any, Protocol

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill_bus.read_model import until_seen

from modelmill_gateway.domain.access import Caller


class FindsServable(Protocol):
    """See `modelmill_gateway.routing.find_model.FindModel`."""

    async def servable(self, tenant: str, name: str) -> ModelReady: ...


class Loads(Protocol):
    """Brings versions up; returns once one is warm."""

    async def load(self, *, tenant: str, version_id: str, timeout: float) -> None: ...


class AliasBook(Protocol):
    """Aliases, moved by compare-and-set."""

    def sequence(self, tenant: str, name: str) -> int: ...
    async def move(
        self,
        tenant: str,
        name: str,
        version_id: str,
        *,
        moved_by: str,
        expected: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> int: ...
    async def wait_for(self, sequence: int, timeout: float) -> None: ...


class MoveAlias:
    """The swap is the compare-and-set; streams that run finish on the version they began with."""

    def __init__(
        self, find_model: FindsServable, engines: Loads, aliases: AliasBook, load_seconds: float
    ) -> None:
        self._find_model = find_model
        self._engines = engines
        self._aliases = aliases
        self._load_seconds = load_seconds

    async def __call__(self, name: str, version_id: str, caller: Caller) -> AliasState:
        """Move the caller's alias to the newest build of `version_id`, or to itself without any.

        Raises:
            ModelNotFoundError: no such version.
            NotFoundError: no engine runs its form; the alias stays where it was.
            StaleWriteError: somebody moved the alias since this began.
            PreconditionError: the version could not be loaded; the alias stays where it was.
            UnavailableError: inference or the bus does not answer.
        """
        seen = self._aliases.sequence(caller.tenant, name)
        version = await self._find_model.servable(caller.tenant, version_id)
        await self._engines.load(
            tenant=caller.tenant, version_id=version.version_id, timeout=self._load_seconds
        )
        return await swapped(self._aliases, name, version.version_id, caller, seen)


async def swapped(
    aliases: AliasBook,
    name: str,
    version_id: str,
    caller: Caller,
    seen: int,
    options: Mapping[str, Any] | None = None,
) -> AliasState:
    """The caller's alias as it is now, which everything that is asked here sees.

    Args:
        seen: sequence of the alias when its change began.

    Raises:
        StaleWriteError: somebody moved the alias since.
        UnavailableError: the bus does not answer.
    """
    sequence = await aliases.move(
        caller.tenant, name, version_id, moved_by=caller.subject, expected=seen, options=options
    )
    await until_seen(aliases, sequence)
    alias = AliasState(
        tenant=caller.tenant, name=name, version_id=version_id, moved_by=caller.subject
    )
    alias.options.update(options or {})
    alias.moved_at.GetCurrentTime()
    return alias
