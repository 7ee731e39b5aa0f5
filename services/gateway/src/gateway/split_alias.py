"""Let a name mean several versions: all are brought up first, then one compare-and-set."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from modelmill.registry.v1.model_events_pb2 import AliasState
from service_kit.errors import InvalidInputError, NotFoundError

from gateway.domain.access import Caller
from gateway.domain.split import Split
from gateway.move_alias import FindsServable, Loads
from gateway.own_writes import until_seen


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
            UnavailableError: inference or the bus does not answer.
        """
        seen = self._aliases.sequence(caller.tenant, name)
        meant = self._meant(split, caller.tenant)
        async with asyncio.timeout(self._load_seconds):
            for version_id in meant.version_ids:
                await self._engines.load(
                    tenant=caller.tenant, version_id=version_id, timeout=self._load_seconds
                )
        version_id = meant.variants[0].version_id
        sequence = await self._aliases.move(
            caller.tenant,
            name,
            version_id,
            moved_by=caller.subject,
            expected=seen,
            options=meant.options(),
        )
        await until_seen(self._aliases, sequence)
        alias = AliasState(
            tenant=caller.tenant, name=name, version_id=version_id, moved_by=caller.subject
        )
        alias.options.update(meant.options())
        alias.moved_at.GetCurrentTime()
        return alias

    def _meant(self, split: Split, tenant: str) -> Split:
        """The same with each version's best form."""
        errors, best = [], {}
        for version_id in split.version_ids:
            try:
                best[version_id] = self._find_model.servable(tenant, version_id).version_id
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
