"""Let a name mean another version, or several, or none: each is one compare-and-set."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.read_model import FreshLook, until_seen
from modelmill_registry.aliases import AliasBook
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.split import Split
from modelmill_gateway.ports import Engines
from modelmill_gateway.routing.find_model import FindModel


class MoveAlias:
    """The swap is the compare-and-set; streams that run finish on the version they began with."""

    def __init__(
        self, find_model: FindModel, engines: Engines, aliases: AliasBook, load_seconds: float
    ) -> None:
        self._find_model = find_model
        self._engines = engines
        self._aliases = aliases
        self._load_seconds = load_seconds

    async def to_version(self, name: str, version_id: str, caller: Caller) -> AliasState:
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

    async def to_split(self, name: str, split: Split, caller: Caller) -> AliasState:
        """Let the caller's alias mean the newest builds of the versions that `split` names.

        Raises:
            InvalidInputError: versions that do not exist, all of them.
            NotFoundError, PreconditionError: one cannot be loaded; the alias stays as it was.
            StaleWriteError: somebody moved the alias since this began.
            DeadlineError: they took too long together; the alias stays as it was.
            UnavailableError: inference or the bus does not answer.
        """
        seen = self._aliases.sequence(caller.tenant, name)
        meant = await self._meant(split, caller.tenant)
        deadline = Deadline(self._load_seconds)
        for version_id in meant.version_ids:
            await self._engines.load(
                tenant=caller.tenant, version_id=version_id, timeout=deadline.remaining()
            )
        first = meant.variants[0].version_id
        return await swapped(self._aliases, name, first, caller, seen, meant.options())

    async def _meant(self, split: Split, tenant: str) -> Split:
        """The same with each version's best form."""
        errors, best = [], {}
        for version_id in split.version_ids:
            try:
                best[version_id] = (await self._find_model.servable(tenant, version_id)).version_id
            except NotFoundError as error:
                errors.append(error.message)
        if errors:
            raise InvalidInputError(errors)
        shadow = split.shadow
        return Split(
            tuple(replace(it, version_id=best[it.version_id]) for it in split.variants),
            replace(shadow, version_id=best[shadow.version_id]) if shadow else None,
            tuple(best[version_id] for version_id in split.fallback),
        )


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


class DeleteAlias:
    """Removes the tenant's own alias; a shared one of that name is seen again behind it."""

    def __init__(self, aliases: AliasBook, look: FreshLook) -> None:
        self._aliases = aliases
        self._look = look

    def names(self, caller: Caller) -> Iterator[str]:
        """Aliases of the caller's tenant, as far as is known here."""
        mine = (each for each in self._aliases.list(caller.tenant) if each.tenant == caller.tenant)
        return (each.name for each in mine)

    def owns(self, name: str, caller: Caller) -> bool:
        """Whether the caller's tenant has an alias of that name, as far as is known here."""
        alias = self._aliases.get(caller.tenant, name)
        return alias is not None and alias.tenant == caller.tenant

    async def __call__(self, name: str, caller: Caller) -> None:
        """Return once nobody is answered by that name here any more.

        Raises:
            NotFoundError: the tenant has no alias of its own of that name.
            StaleWriteError: somebody moved it since this began.
            UnavailableError: the bus does not answer.
        """
        await self._look(lambda: self._require(name, caller))
        seen = self._aliases.sequence(caller.tenant, name)
        await swapped(self._aliases, name, "", caller, seen)

    def _require(self, name: str, caller: Caller) -> None:
        if not self.owns(name, caller):
            raise no_such("alias of your own", name, "/v1/aliases", self.names(caller))
