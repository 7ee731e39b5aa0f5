"""Let a name mean several versions: all are brought up first, then one compare-and-set."""

from dataclasses import replace

from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.split import Split
from modelmill_gateway.routing.move_alias import AliasBook, FindsServable, Loads, swapped


class SplitAlias:
    """As `MoveAlias`, for variants, a shadow and fallbacks."""

    def __init__(
        self, find_model: FindsServable, engines: Loads, aliases: AliasBook, load_seconds: float
    ) -> None:
        self._find_model = find_model
        self._engines = engines
        self._aliases = aliases
        self._load_seconds = load_seconds

    async def __call__(self, name: str, split: Split, caller: Caller) -> AliasState:
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
