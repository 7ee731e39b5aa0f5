"""Aliases moved and deleted, each by one compare-and-set; and models taken out of use."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill_bus.read_model import FreshLook, until_seen
from modelmill_registry.aliases import AliasBook
from modelmill_registry.catalogue import MODELS, ModelCatalogue
from modelmill_registry.default_build import is_lossy
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_service_kit.nearest import did_you_mean, no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.exchanges import NO_SEAL
from modelmill_gateway.domain.models import Split
from modelmill_gateway.domain.request_context import Deadline
from modelmill_gateway.ports import Engines, Trainer
from modelmill_gateway.routing.find_model import FindModel, is_build


class MoveAlias:
    """Alias moves, each a compare-and-set; running streams finish on their own version."""

    def __init__(
        self,
        find_model: FindModel,
        engines: Engines,
        aliases: AliasBook,
        load_seconds: float,
        *,
        can_log: bool,
    ) -> None:
        self._can_log = can_log
        self._find_model = find_model
        self._engines = engines
        self._aliases = aliases
        self._load_seconds = load_seconds

    async def to_version(self, name: str, version_id: str, caller: Caller) -> AliasState:
        """Move the caller's alias to the newest build of `version_id`, or to itself without any.

        Raises:
            ModelNotFoundError: no such version.
            InvalidInputError: it is a build that loses more than its order allowed.
            NotFoundError: no engine runs its form; the alias stays where it was.
            StaleWriteError: somebody moved the alias since this began.
            PreconditionError: the version could not be loaded; the alias stays where it was.
            UnavailableError: inference or the bus does not answer.
        """
        seen = self._aliases.sequence(caller.tenant, name)
        version = await self._find_model.servable(caller.tenant, version_id)
        _refuse_lossy(version)
        await self._engines.load(
            tenant=caller.tenant, version_id=version.version_id, timeout=self._load_seconds
        )
        return await swapped(self._aliases, name, version.version_id, caller, seen)

    async def to_split(self, name: str, split: Split, caller: Caller) -> AliasState:
        """Let the caller's alias mean the newest builds of the versions that `split` names.

        Raises:
            InvalidInputError: versions that do not exist or may not be named, all of them.
            NotFoundError, PreconditionError: one cannot be loaded; the alias stays as it was.
            PreconditionError: it shall log, and the operator gave no key to seal that with.
            StaleWriteError: somebody moved the alias since this began.
            DeadlineError: they took too long together; the alias stays as it was.
            UnavailableError: inference or the bus does not answer.
        """
        if split.is_logged and not self._can_log:
            raise PreconditionError(NO_SEAL)
        seen = self._aliases.sequence(caller.tenant, name)
        meant = await self.prepare(split, caller.tenant)
        first = meant.variants[0].version_id
        return await swapped(self._aliases, name, first, caller, seen, meant.options())

    async def prepare(self, split: Split, tenant: str) -> Split:
        """The same with the newest builds of its versions, each of which an engine has loaded.

        Raises:
            InvalidInputError, NotFoundError, PreconditionError: as `to_split`.
            DeadlineError, UnavailableError: as `to_split`.
        """
        meant = await self._meant(split, tenant)
        deadline = Deadline(self._load_seconds)
        for version_id in meant.version_ids:
            await self._engines.load(
                tenant=tenant, version_id=version_id, timeout=deadline.remaining()
            )
        return meant

    async def _meant(self, split: Split, tenant: str) -> Split:
        """The same with each version's best form."""
        errors, best = [], {}
        for version_id in split.version_ids:
            try:
                version = await self._find_model.servable(tenant, version_id)
                _refuse_lossy(version)
            except (NotFoundError, InvalidInputError) as error:
                errors.append(error.message)
            else:
                best[version_id] = version.version_id
        if errors:
            raise InvalidInputError(errors)
        shadow = split.shadow
        return replace(
            split,
            variants=tuple(replace(it, version_id=best[it.version_id]) for it in split.variants),
            shadow=replace(shadow, version_id=best[shadow.version_id]) if shadow else None,
            fallback=tuple(best[version_id] for version_id in split.fallback),
        )


def _refuse_lossy(version: ModelReady) -> None:
    """Refuse a build that loses more than allowed; what was ordered to be good is not that."""
    if is_lossy(version):
        raise InvalidInputError(
            f"the build {version.version_id} loses more than its order allowed, so no alias may "
            f"name it. Name its source {version.parent_version_id}, or ask for the build by its id"
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


class DeleteModel:
    """Takes any name under which `/v1/models` lists something, and deletes that entry.

    Of an alias this is the alias: what it means stays, for it may be asked for by other names.
    """

    def __init__(
        self,
        retiring: Trainer,
        models: ModelCatalogue,
        delete_alias: DeleteAlias,
        look: FreshLook,
    ) -> None:
        self._retiring = retiring
        self._models = models
        self.delete_alias = delete_alias
        """Of an alias by its name alone, where it is known to be one."""
        self._look = look

    async def __call__(self, name: str, caller: Caller) -> Sequence[str]:
        """Delete it; gives every version id that went, the asked one first; none for an alias.

        Args:
            name: an alias, a version id, or a model's name that one version bears.

        Raises:
            NotFoundError: unknown, deleted, or not the caller's own.
            PreconditionError: it is in use, or several versions bear the name; the message says
                what to do.
            StaleWriteError: somebody moved the alias since this began.
            UnavailableError: the trainer or the bus does not answer.
        """
        # What this replica has not heard of yet, an alias of that name, would go before the model.
        with suppress(NotFoundError):
            await self._look(lambda: self._require(name, caller))
        if self.delete_alias.owns(name, caller):
            await self.delete_alias(name, caller)
            return ()
        version_id = self._version_id(name, caller.tenant)
        try:
            retired = await self._retiring.retire_model(
                tenant=caller.tenant, version_id=version_id, requested_by=caller.subject
            )
        except NotFoundError as error:
            hint = did_you_mean(name, self._names(caller))
            raise NotFoundError(f"{error.message}.{hint}" if hint else error.message) from error
        await until_seen(self._models, retired.sequence)
        return retired.version_ids

    def _own(self, tenant: str) -> dict[str, ModelReady]:
        versions = self._models.list(tenant)
        return {each.version_id: each for each in versions if each.tenant == tenant}

    def _require(self, name: str, caller: Caller) -> None:
        if not self.delete_alias.owns(name, caller) and name not in self._own(caller.tenant):
            raise no_such("alias and no version", name, MODELS)

    def _names(self, caller: Caller) -> Iterator[str]:
        """What the tenant may delete is called so."""
        yield from self.delete_alias.names(caller)
        for version in self._own(caller.tenant).values():
            yield from (version.version_id, version.name)

    def _version_id(self, name: str, tenant: str) -> str:
        """Of the version that bears the name; what is not known here is taken for an id."""
        own = self._own(tenant)
        if name in own:
            return name
        named = [
            version.version_id
            for version in own.values()
            # A build goes with its source.
            if version.name == name and not (is_build(version) and version.parent_version_id in own)
        ]
        if len(named) > 1:
            raise PreconditionError(
                f"{len(named)} versions are called {name[:80]!r}: delete each by its id,"
                f" {', '.join(named)}"
            )
        return named[0] if named else name
