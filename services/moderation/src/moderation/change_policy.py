"""Put a tenant's own policy in force, or go back to an earlier one or to the shared one."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from guard.bundle import Bundle, CompiledPolicy
from guard.policy import PolicyError
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.moderation.v1.moderation_service_pb2 import PolicyDocument
from service_kit.errors import ConflictError, InvalidInputError, NotFoundError, PreconditionError

from moderation.domain.judges_here import JudgesHere
from moderation.domain.policies import SHARED_TENANT
from moderation.domain.policy_changes import PolicyChanges, changes_between
from moderation.domain.policy_documents import compile_documents
from moderation.history import History
from moderation.publish_default_policy import CHANGED_BY

MAX_RECORD_BYTES = 900_000
"""A broker takes messages up to 1 MB."""


@dataclass(frozen=True)
class Change:
    """A version that is in force now, or would be, and what it changes."""

    state: PolicyState
    changes: PolicyChanges
    written: bool


@dataclass(frozen=True)
class _Standing:
    """What judges a tenant now, and the sequence of its own last change, 0 without any."""

    own: PolicyState
    sequence: int
    judging: PolicyState


class ChangePolicy:
    """Each change is a new version, stored by compare-and-set; what is refused changes nothing."""

    def __init__(
        self,
        history: History,
        judges: JudgesHere,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._history = history
        self._judges = judges
        self._now = now

    async def put(
        self, tenant: str, documents: Mapping[str, str], *, by: str, expected: str | None, dry: bool
    ) -> Change:
        """Compile the documents and put them in force, unless they are or `dry` is set.

        Raises:
            InvalidInputError: everything that is wrong with the documents, or judges that cannot be
                asked here.
            ConflictError: another policy than `expected` judges now, or somebody was quicker.
            UnavailableError: the bus is away.
        """
        bundle = await asyncio.to_thread(compile_documents, documents)
        self._judges.check(bundle)
        standing = await self._standing(tenant, expected)
        own = standing.own
        wanted = [PolicyDocument(name=name, text=text) for name, text in documents.items()]
        if own.digest == bundle.digest and list(own.documents) == wanted:
            return Change(own, changes_between(own.bundle, own.bundle), written=False)
        state = self._next(standing, by)
        state.digest, state.bundle = bundle.digest, bundle.content
        state.documents.extend(wanted)
        return await self._change(standing, state, dry=dry)

    async def restore(self, tenant: str, version: int, *, by: str, expected: str | None) -> Change:
        """Bring an earlier version back, as a new one.

        Raises:
            NotFoundError: there is none of that number.
            PreconditionError: it was compiled for another format, and its documents do not compile.
            ConflictError, UnavailableError: as of `put`.
        """
        standing = await self._standing(tenant, expected)
        versions = await self._history.versions(tenant)
        old = next((state for state in versions if state.version == version), None)
        if old is None:
            raise NotFoundError(f"the policy has no version {version}")
        state = self._next(standing, by)
        state.restores_version = version
        state.follows_shared = old.follows_shared
        if not old.follows_shared:
            bundle = await asyncio.to_thread(_compiled_again, old)
            state.digest, state.bundle = bundle.digest, bundle.content
            state.documents.extend(old.documents)
        return await self._change(standing, state, dry=False)

    async def follow_shared(self, tenant: str, *, by: str, expected: str | None) -> Change:
        """Let the shared policy judge the tenant's texts from now on.

        Raises:
            InvalidInputError: it is the shared policy itself.
            ConflictError, UnavailableError: as of `put`.
        """
        if tenant == SHARED_TENANT:
            raise InvalidInputError("the shared policy follows no other; name a version")
        standing = await self._standing(tenant, expected)
        state = self._next(standing, by)
        state.follows_shared = True
        return await self._change(standing, state, dry=False)

    async def _standing(self, tenant: str, expected: str | None) -> _Standing:
        stored = await self._history.newest(tenant)
        own = stored.body if stored else PolicyState(tenant=tenant, follows_shared=True)
        judging = own
        if own.follows_shared:
            shared = await self._history.newest(SHARED_TENANT)
            judging = shared.body if shared else own
        if expected is not None and expected != judging.digest:
            raise ConflictError(
                f"{judging.digest or 'no policy'} is in force, not {expected}; look at it again"
            )
        return _Standing(own, stored.sequence if stored else 0, judging)

    def _next(self, standing: _Standing, by: str) -> PolicyState:
        if not by or by == CHANGED_BY:
            raise InvalidInputError(f"changed_by must say who asks, and {CHANGED_BY!r} is taken")
        state = PolicyState(
            tenant=standing.own.tenant, version=standing.own.version + 1, changed_by=by
        )
        state.changed_at.FromDatetime(self._now())
        return state

    async def _change(self, standing: _Standing, state: PolicyState, *, dry: bool) -> Change:
        size = state.ByteSize()
        if size > MAX_RECORD_BYTES:
            raise InvalidInputError(
                f"the policy takes {size} bytes with its documents; the limit is {MAX_RECORD_BYTES}"
            )
        after = state.bundle
        if state.follows_shared:
            shared = await self._history.newest(SHARED_TENANT)
            after = shared.body.bundle if shared else b""
        if not dry:
            await self._history.add(state, after=standing.sequence)
        return Change(state, changes_between(standing.judging.bundle, after), written=not dry)


def _compiled_again(old: PolicyState) -> Bundle:
    """The old bundle, or what its documents are now, when bundles have another format by now."""
    try:
        return Bundle(old.bundle, CompiledPolicy.from_bundle(old.bundle, old.digest).digest)
    except PolicyError as error:
        if not old.documents:
            raise PreconditionError(f"version {old.version} is not valid now: {error}") from error
    try:
        return compile_documents({document.name: document.text for document in old.documents})
    except InvalidInputError as error:
        raise PreconditionError(f"version {old.version} is not valid now: {error}") from error
