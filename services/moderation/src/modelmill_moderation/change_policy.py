"""Use case: put, revert or remove a tenant's own policy."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_guard.bundle import Bundle
from modelmill_service_kit.errors import ConflictError, InvalidInputError

from modelmill_moderation.domain.policies import (
    SHARED_TENANT,
    ConfiguredJudges,
    CostLimit,
    PolicyChanges,
    changes_between,
)
from modelmill_moderation.domain.policy_documents import (
    Compiled,
    compile_documents,
    compile_on_top,
    unknown_names,
)
from modelmill_moderation.policy_states import (
    History,
    are_equivalent,
    check_size,
    documents_of,
    recompiled,
    unknown_version,
    write_compiled,
)
from modelmill_moderation.publish_default_policy import CHANGED_BY


@dataclass(frozen=True)
class Change:
    """Result of a change: the new version and its differences."""

    state: PolicyState
    changes: PolicyChanges
    written: bool
    unconfirmed: tuple[str, ...] = ()
    """Default rules that would be removed without being named; nothing is changed then."""


@dataclass(frozen=True)
class _Standing:
    """Policy in force for a tenant, and the sequence of its own latest version; 0 for none."""

    own: PolicyState
    sequence: int
    judging: PolicyState
    default: Bundle | None
    """Default policy below the tenant's; None for the default policy itself."""


class ChangePolicy:
    """Each change is a new version, stored by compare-and-set."""

    def __init__(
        self,
        history: History,
        judges: ConfiguredJudges,
        costs: CostLimit,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._history = history
        self._judges = judges
        self._costs = costs
        self._now = now

    async def put(
        self,
        tenant: str,
        documents: Mapping[str, str],
        *,
        removing: Collection[str] = (),
        by: str,
        expected: str | None,
        dry: bool,
    ) -> Change:
        """Compile the documents and put them in force, unless they already are or `dry` is set.

        Args:
            removing: Default rules that may be removed. If others would be, nothing is changed.

        Raises:
            InvalidInputError: The documents are invalid, a name in `removing` is not a default
            rule,
            a judge is not configured here, or rules exceed the cost limit.
            ConflictError: The policy in force is not `expected`, or another change came first.
            UnavailableError: The bus is unreachable.
        """
        standing = await self._standing(tenant, expected)
        _check_names(removing, standing.default)
        compiled = await asyncio.to_thread(_compiled, documents, standing.default, removing)
        self._judges.check(compiled.bundle)
        await asyncio.to_thread(self._costs.check, compiled.bundle, compiled.default_rules)
        own, state = standing.own, self._next(standing, by)
        write_compiled(state, compiled, documents)
        if are_equivalent(own, state) and not _unconfirmed(state, removing):
            return Change(own, changes_between(own.bundle, own.bundle), written=False)
        return await self._change(standing, state, removing, dry=dry)

    async def restore(
        self,
        tenant: str,
        version: int,
        *,
        removing: Collection[str] = (),
        by: str,
        expected: str | None,
    ) -> Change:
        """Restore an earlier version as a new one, on top of the current default policy.

        Raises:
            NotFoundError: There is no such version.
            PreconditionError: Its bundle has an old format, and its documents do not compile.
            InvalidInputError, ConflictError, UnavailableError: As in `put`.
        """
        standing = await self._standing(tenant, expected)
        versions = await self._history.versions(tenant)
        old = next((state for state in versions if state.version == version), None)
        if old is None:
            raise unknown_version(version)
        _check_names(removing, standing.default)
        state = self._next(standing, by)
        state.follows_shared = old.follows_shared
        if not old.follows_shared:
            compiled = await asyncio.to_thread(recompiled, old, standing.default, removing)
            write_compiled(state, compiled, documents_of(old))
        state.restores_version = version
        return await self._change(standing, state, removing, dry=False)

    async def follow_shared(self, tenant: str, *, by: str, expected: str | None) -> Change:
        """Remove the tenant's own policy, so that the shared one applies.

        Raises:
            InvalidInputError: The tenant is the shared one.
            ConflictError, UnavailableError: As in `put`.
        """
        if tenant == SHARED_TENANT:
            raise InvalidInputError("the shared policy follows no other. Name a version")
        standing = await self._standing(tenant, expected)
        state = self._next(standing, by)
        state.follows_shared = True
        return await self._change(standing, state, (), dry=False)

    async def _standing(self, tenant: str, expected: str | None) -> _Standing:
        stored = await self._history.newest(tenant)
        own = stored.body if stored else PolicyState(tenant=tenant, follows_shared=True)
        judging, default = own, None
        if tenant != SHARED_TENANT:
            shared = await self._history.newest(SHARED_TENANT)
            default = Bundle(shared.body.bundle, shared.body.digest) if shared else None
            judging = shared.body if shared and own.follows_shared else own
        if expected is not None and expected != judging.digest:
            raise ConflictError(
                f"{judging.digest or 'no policy'} is in force, not {expected}. Look at it again"
            )
        return _Standing(own, stored.sequence if stored else 0, judging, default)

    def _next(self, standing: _Standing, by: str) -> PolicyState:
        if not by or by == CHANGED_BY:
            raise InvalidInputError(f"changed_by must say who asks, and {CHANGED_BY!r} is taken")
        state = PolicyState(
            tenant=standing.own.tenant, version=standing.own.version + 1, changed_by=by
        )
        state.changed_at.FromDatetime(self._now())
        return state

    async def _change(
        self, standing: _Standing, state: PolicyState, removing: Collection[str], *, dry: bool
    ) -> Change:
        check_size(state)
        unconfirmed = _unconfirmed(state, removing)
        after = state.bundle
        if state.follows_shared:
            after = standing.default.content if standing.default else b""
        written = not dry and not unconfirmed
        if written:
            await self._history.add(state, after=standing.sequence)
        changes = changes_between(standing.judging.bundle, after)
        return Change(state, changes, written, unconfirmed)


def _unconfirmed(state: PolicyState, removing: Collection[str]) -> tuple[str, ...]:
    """Default rules that the version lacks and that the request did not name."""
    return tuple(sorted({*state.removed_default_rules} - {*removing}))


def _check_names(removing: Collection[str], default: Bundle | None) -> None:
    unknown = unknown_names(removing, default) if default else tuple(removing)
    if unknown:
        raise InvalidInputError(
            [f"remove_default_rules: {name!r} is no default rule" for name in unknown]
        )


def _compiled(
    documents: Mapping[str, str], default: Bundle | None, removing: Collection[str]
) -> Compiled:
    return compile_on_top(documents, default, removing) if default else compile_documents(documents)
