"""API keys as this process knows them: followed from KEYS, found by hash, written by CAS.

Nothing here waits for the bus to tell who calls: a key is looked up in memory.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Protocol

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.keyed_store import KeyedStore
from modelmill_service_kit.errors import (
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from modelmill_gateway.domain.access import (
    KEPT_SECONDS,
    MOST_IN_LINE,
    Authority,
    Caller,
    is_key,
    sha256_of,
)
from modelmill_gateway.domain.ledger.budget import Limits

Status = Literal["active", "expired", "revoked"]


class KeyBook(KeyedStore[KeyState]):
    """Read model of `key.state.*`."""

    def __init__(self, bus: Bus, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(bus, "key.state", key="key_id", noun="API key", listed_at="/v1/keys")
        self._clock = clock
        self._holders: dict[str, tuple[KeyState, Caller]] = {}
        """By the key's hash; revoked keys have none. Whom it names but for what makers bound."""

    def caller(self, key: str) -> Caller:
        """Whom `key` names.

        Raises:
            UnauthenticatedError: unknown, revoked or expired; which of them is not said.
        """
        holder = self._holders.get(sha256_of(key)) if is_key(key) else None
        if holder is None or self.status(holder[0]) != "active":
            raise UnauthenticatedError("the API key is not valid")
        state, caller = holder
        return self._bounded(state, caller) if state.maker_key_id else caller

    def caller_of(self, state: KeyState) -> Caller:
        """Whom the key of this record names now, within what its makers may do now."""
        return self._bounded(state, _caller(state))

    def line(self, state: KeyState) -> list[KeyState]:
        """The key, what made it, what made that, and so on, as far as they are known."""
        found = [state]
        while found[-1].maker_key_id:
            maker = self._records.get(found[-1].maker_key_id)
            if maker is None:
                break
            found.append(maker)
        return found

    def authority(self, state: KeyState) -> Authority:
        """What the key may do, within what its makers may."""
        own, *makers = [authority_of(each) for each in self.line(state)]
        for maker in makers:
            own = own.bounded_by(maker)
        return own

    def _bounded(self, state: KeyState, caller: Caller) -> Caller:
        authority, line = self.authority(state), self.line(state)
        return replace(
            caller,
            scopes=authority.scopes,
            models=authority.models,
            expires=authority.expires,
            makers=tuple(each.key_id for each in line[1:]),
            limited=tuple(each.key_id for each in line if each.limited),
            is_logged=any(each.store for each in line),
        )

    def counts(self, key_id: str) -> bool:
        """Whether the key opens anything now: neither it nor what made it has ended."""
        found = self._records.get(key_id)
        return found is not None and self.status(found) == "active"

    def status(self, state: KeyState) -> Status:
        """How the key stands; one that a key made ends with that key."""
        now, each = self._clock(), state
        while not each.revoked:
            if expiry_of(each) <= now:
                return "expired"
            if not each.maker_key_id:
                return "active"
            maker = self._records.get(each.maker_key_id)
            if maker is None:
                # Forgotten, long after its end.
                return "revoked"
            each = maker
        return "revoked"

    def made_by(self, key_id: str) -> list[KeyState]:
        """Keys that it made and that these made, as far as they are not revoked themselves."""
        makers, made = {key_id}, [each for each in self._records.values() if each.maker_key_id]
        while True:
            found = {each.key_id for each in made if each.maker_key_id in makers} - makers
            if not found:
                break
            makers |= found
        return [each for each in made if each.key_id in makers and not each.revoked]

    def list(self, tenant: str) -> list[KeyState]:
        """The tenant's keys, newest first; those that ended, too, for a month.

        What is older the bus has forgotten, and so does this.
        """
        now = self._clock()
        gone = [each for each in self._records.values() if end_of(each) + KEPT_SECONDS <= now]
        for each in gone:
            del self._records[each.key_id]
            self._holders.pop(each.key_sha256, None)
        return super().list(tenant)

    def _kept_seconds(self, record: KeyState) -> float | None:
        end = end_of(record)
        return None if end == float("inf") else max(1.0, end + KEPT_SECONDS - self._clock())

    def _apply(self, stored: Stored[Any]) -> None:
        state: KeyState = stored.body
        before = self._records.get(state.key_id)
        if before is not None:
            self._holders.pop(before.key_sha256, None)
        super()._apply(stored)
        if not state.revoked and state.key_sha256:
            self._holders[state.key_sha256] = state, _caller(state)


def expiry_of(state: KeyState) -> float:
    """When the key ends to count, in seconds since 1970."""
    if not state.HasField("expires_at"):
        return float("inf")
    return state.expires_at.ToNanoseconds() / 1e9


def end_of(state: KeyState) -> float:
    """When the key ended or will by its own record, in seconds since 1970."""
    if not state.revoked:
        return expiry_of(state)
    return min(expiry_of(state), state.revoked_at.ToNanoseconds() / 1e9)


def authority_of(state: KeyState) -> Authority:
    expires = expiry_of(state) if state.HasField("expires_at") else None
    return Authority(frozenset(state.scopes), frozenset(state.models) or None, expires)


def _caller(state: KeyState) -> Caller:
    authority = authority_of(state)
    return Caller(
        tenant=state.tenant,
        subject=state.key_id,
        scopes=authority.scopes,
        key_id=state.key_id,
        models=authority.models,
        expires=authority.expires,
        limited=(state.key_id,) if state.limited else (),
        is_logged=state.store,
    )


AMOUNTS = (
    *("requests_per_minute", "tokens_per_minute", "parallel_requests"),
    *("tokens", "micros"),
)


class KeyBudgets(Protocol):
    """What may be used at most, by the id of a key."""

    def limits(self, budget_id: str) -> Limits: ...

    async def put(self, budget_id: str, tenant: str, limits: Limits) -> object: ...


class KeyAuthority:
    """Authorization over API keys: one may change a key that one could have made, whoever did.

    What a key can make has its scopes, models and end at most, and draws on its limits and on those
    of the keys that made it. A token has scopes alone: its end is its issuer's, and no limits are
    a token's.
    """

    def __init__(self, keys: KeyBook, budgets: KeyBudgets) -> None:
        self._keys = keys
        self._budgets = budgets

    def of(self, caller: Caller) -> Authority:
        """What the caller has to give."""
        if not caller.key_id:
            return Authority(caller.scopes)
        return self._of_key(self._keys.get(caller.tenant, caller.key_id))

    def require_grant(self, wanted: Authority, limits: Limits | None, caller: Caller) -> None:
        """Raise PermissionDeniedError unless the caller can make a key such as this.

        Args:
            limits: of the key alone; None where they stay as they are.
        """
        own = self.of(caller)
        # Whoever grants it, it draws on the granter's limits, too.
        wanted.drawing_on(own.draws_on).require_within(own)
        if limits is None or not caller.key_id:
            return
        most = self._budgets.limits(caller.key_id)
        for name in AMOUNTS:
            bound, asked = getattr(most, name), getattr(limits, name)
            if bound and not 0 < asked <= bound:
                raise PermissionDeniedError(f"limits: {name} may be at most that of your own key")
        if (most.tokens or most.micros) and most.period != limits.period:
            raise PermissionDeniedError("limits: period must be that of your own key")

    def require_over(self, state: KeyState, caller: Caller) -> None:
        """Raise PermissionDeniedError unless the caller could have made the key as it is."""
        self._of_key(state).require_within(self.of(caller))

    def require_room_below(self, caller: Caller) -> None:
        """Raise PreconditionError if no key may be made by the caller's, so far down its line."""
        if not caller.key_id:
            return
        line = self._keys.line(self._keys.get(caller.tenant, caller.key_id))
        if len(line) >= MOST_IN_LINE:
            raise PreconditionError(
                f"a chain of keys that made each other has at most {MOST_IN_LINE} keys."
                " Let a key above yours make it"
            )

    def _of_key(self, state: KeyState) -> Authority:
        line = self._keys.line(state)
        limited = frozenset(
            each.key_id for each in line if self._budgets.limits(each.key_id) != Limits()
        )
        return self._keys.authority(state).drawing_on(limited)
