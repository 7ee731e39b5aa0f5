"""Make API keys, change them, replace their secrets, and revoke them for good."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StreamFullError
from modelmill_bus.read_model import until_seen
from modelmill_service_kit.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
)

from modelmill_gateway.domain.access import (
    CHAT,
    MODELS_READ,
    MOST_KEPT_OF_A_TENANT,
    MOST_OF_A_TENANT,
    PREFIX_CHARS,
    Authority,
    Caller,
    new_key,
    sha256_of,
)
from modelmill_gateway.domain.exchanges import NO_SEAL
from modelmill_gateway.domain.ledger.budget import Limits
from modelmill_gateway.identity.key_book import (
    KeyAuthority,
    KeyBook,
    KeyBudgets,
    Status,
    authority_of,
)

log = logging.getLogger(__name__)

USUAL_SCOPES = (CHAT, MODELS_READ)


@dataclass(frozen=True)
class KeyRequest:
    """Requested fields of a key; of a change only those that are named in `given`."""

    name: str = ""
    scopes: Sequence[str] | None = None
    models: Sequence[str] = ()
    expires: int | None = None
    """Seconds since 1970; None is never."""
    limits: Limits = field(default_factory=Limits)
    store: bool = False
    given: frozenset[str] = frozenset()


class ManageKeys:
    """Nobody gives a key more than it has itself, or touches one that has more: `KeyAuthority`.

    All raise UnavailableError when the bus is away, and what changes a key NotFoundError when the
    tenant has no such key and StaleWriteError when somebody else changes it at the same time.
    """

    def __init__(
        self, keys: KeyBook, budgets: KeyBudgets, clock: Callable[[], float], *, can_log: bool
    ) -> None:
        self._can_log = can_log
        self._keys = keys
        self._budgets = budgets
        self._clock = clock
        self._authority = KeyAuthority(keys, budgets)

    def list(self, caller: Caller) -> Sequence[KeyState]:
        """The tenant's keys, newest first."""
        return self._keys.list(caller.tenant)

    def get(self, key_id: str, caller: Caller) -> KeyState:
        """One of them. Raises NotFoundError."""
        return self._keys.get(caller.tenant, key_id)

    def status(self, state: KeyState) -> Status:
        """How the key stands: as what made it does, once that has ended."""
        return self._keys.status(state)

    def limits(self, key_id: str) -> Limits:
        """What the key may use at most."""
        return self._budgets.limits(key_id)

    async def create(self, requested: KeyRequest, caller: Caller) -> tuple[KeyState, str]:
        """The key's record and the key itself, which nobody can be shown again.

        Raises:
            PermissionDeniedError: it would be more than the caller has.
            InvalidInputError: it would have expired already.
            PreconditionError: the tenant has a thousand keys, or made too many in a month, or the
                caller's key is as far down its line as keys may be.
        """
        self._require_room(caller.tenant)
        self._authority.require_room_below(caller)
        state = KeyState(
            key_id=f"key-{uuid.uuid4().hex}",
            tenant=caller.tenant,
            name=requested.name,
            created_by=caller.subject,
            maker_key_id=caller.key_id,
            scopes=USUAL_SCOPES if requested.scopes is None else dict.fromkeys(requested.scopes),
            store=requested.store,
        )
        self._require_seal(requested)
        own = self._authority.of(caller)
        bounded = own.models is not None and "models" not in requested.given
        state.models.extend(sorted(own.models or ()) if bounded else requested.models)
        expires = own.expires if "expires" not in requested.given else requested.expires
        self._expire(state, expires)
        state.created_at.FromNanoseconds(int(self._clock() * 1e9))
        self._authority.require_grant(authority_of(state), requested.limits, caller)
        key = _new_secret(state)
        if requested.limits != Limits():
            # Before the key, which says that there are some.
            state.limited = True
            await self._budgets.put(state.key_id, caller.tenant, requested.limits)
        await self._write(state, 0, caller)
        return state, key

    async def change(self, key_id: str, requested: KeyRequest, caller: Caller) -> KeyState:
        """The key with what is given changed.

        Raises:
            PermissionDeniedError: it is or would be more than the caller has, or it is the key that
                the caller shows.
            PreconditionError: it is revoked.
        """
        stored = await self._changeable(key_id, caller)
        state = stored.body
        self._authority.require_over(state, caller)
        if key_id == caller.key_id and requested.given - {"name"}:
            raise PermissionDeniedError("a key may not change what it may do itself")
        if "name" in requested.given:
            state.name = requested.name
        if "models" in requested.given:
            state.models[:] = requested.models
        if "expires" in requested.given:
            self._expire(state, requested.expires)
        if "store" in requested.given:
            self._require_seal(requested)
            state.store = requested.store
        limits = requested.limits if "limits" in requested.given else None
        self._authority.require_grant(self._wanted(state, requested.given), limits, caller)
        if limits is not None:
            state.limited = True
            await self._budgets.put(key_id, caller.tenant, requested.limits)
        await self._write(state, stored.sequence, caller)
        return state

    async def rotate(self, key_id: str, caller: Caller) -> tuple[KeyState, str]:
        """The key's record and its new secret; the one before is refused from now on.

        Raises:
            PermissionDeniedError: the key may do more than the caller, who would come into it.
            PreconditionError: it is revoked.
        """
        stored = await self._changeable(key_id, caller)
        state = stored.body
        self._authority.require_over(state, caller)
        key = _new_secret(state)
        await self._write(state, stored.sequence, caller)
        return state, key

    async def revoke(self, key_id: str, caller: Caller) -> None:
        """Refuse the key from now on, for good, and all that it made.

        Records stay for a month. Once the key's own is written nothing that it made counts; that
        these are written, too, is so that nothing of theirs has to be kept. Whom an issuer vouches
        for may revoke any: a key that is out in the world must not wait for somebody stronger.

        Raises:
            PermissionDeniedError: the caller shows a key, and could not have made this one.
        """
        stored = await self._keys.newest(caller.tenant, key_id)
        if caller.key_id and not stored.body.revoked:
            self._authority.require_over(stored.body, caller)
        await self._revoke(stored, caller)
        for made in self._keys.made_by(key_id):
            try:
                await self._revoke(await self._keys.newest(caller.tenant, made.key_id), caller)
            except (ConflictError, NotFoundError) as error:
                log.info("key %s ended with its maker, unwritten: %s", made.key_id, error)

    async def _revoke(self, stored: Stored[KeyState], caller: Caller) -> None:
        state = stored.body
        if state.revoked:
            return
        state.revoked = True
        state.revoked_at.FromNanoseconds(int(self._clock() * 1e9))
        # What it could do is nobody's any more, and may be long.
        for name in ("key_sha256", "scopes", "models"):
            state.ClearField(name)
        try:
            await self._write(state, stored.sequence, caller)
        except StreamFullError:
            # It takes the place of the record before, if it is no longer than that.
            state.ClearField("name")
            await self._write(state, stored.sequence, Caller(caller.tenant, "", frozenset()))

    def _require_seal(self, requested: KeyRequest) -> None:
        if requested.store and not self._can_log:
            raise PreconditionError(NO_SEAL)

    def _require_room(self, tenant: str) -> None:
        known = self._keys.list(tenant)
        if sum(not key.revoked for key in known) >= MOST_OF_A_TENANT:
            raise PreconditionError(f"there are {MOST_OF_A_TENANT} API keys. Revoke one first")
        if len(known) >= MOST_KEPT_OF_A_TENANT:
            raise PreconditionError(
                f"there were {MOST_KEPT_OF_A_TENANT} API keys. Wait: those that ended are"
                " forgotten a month later"
            )

    def _wanted(self, state: KeyState, given: frozenset[str]) -> Authority:
        """What is said now as it is said; what stays, as far as makers let it."""
        said, left = authority_of(state), self._keys.authority(state)
        models = said.models if "models" in given else left.models
        expires = said.expires if "expires" in given else left.expires
        return replace(left, models=models, expires=expires)

    def _expire(self, state: KeyState, expires: float | None) -> None:
        state.ClearField("expires_at")
        if expires is None:
            return
        if expires <= self._clock():
            raise InvalidInputError("expires_at: must be in the future")
        state.expires_at.FromNanoseconds(int(expires * 1e9))

    async def _changeable(self, key_id: str, caller: Caller) -> Stored[KeyState]:
        stored = await self._keys.newest(caller.tenant, key_id)
        if stored.body.revoked:
            raise PreconditionError("the key is revoked, for good. Make another")
        return stored

    async def _write(self, state: KeyState, sequence: int, caller: Caller) -> None:
        state.changed_by = caller.subject
        await until_seen(self._keys, await self._keys.write(state, expected=sequence))


def _new_secret(state: KeyState) -> str:
    """A key whose hash and first letters the record takes."""
    key = new_key()
    state.key_sha256, state.prefix = sha256_of(key), key[:PREFIX_CHARS]
    return key
