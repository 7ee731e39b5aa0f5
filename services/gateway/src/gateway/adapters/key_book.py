"""API keys as this process knows them: followed from CONFIG, found by hash, written by CAS.

Nothing here waits for the bus to tell who calls: a key is looked up in memory.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.bus import Bus
from jobs.envelope import Stored
from jobs.subjects import key_state
from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from registry.read_model import ReadModel
from service_kit.errors import NotFoundError, UnauthenticatedError

from gateway.domain.access import Caller
from gateway.domain.api_keys import is_key, sha256_of

FILTER = "key.state.*"


@dataclass(frozen=True, slots=True)
class _Holder:
    """Whom a key names, until it expires."""

    caller: Caller
    expires: float


class KeyBook(ReadModel):
    """Read model of `key.state.*`."""

    def __init__(self, bus: Bus, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(bus, (FILTER,))
        self._store = bus
        self._clock = clock
        self._keys: dict[str, KeyState] = {}
        self._holders: dict[str, _Holder] = {}
        """By the key's hash; revoked keys have none."""

    def caller(self, key: str) -> Caller:
        """Whom `key` names.

        Raises:
            UnauthenticatedError: unknown, revoked or expired; which of them is not said.
        """
        holder = self._holders.get(sha256_of(key)) if is_key(key) else None
        if holder is None or holder.expires <= self._clock():
            raise UnauthenticatedError("the API key is not valid")
        return holder.caller

    def get(self, tenant: str, key_id: str) -> KeyState:
        """One key's record.

        Raises:
            NotFoundError: no such key, or another tenant's.
        """
        found = self._keys.get(key_id)
        if found is None or found.tenant != tenant:
            raise NotFoundError(f"no API key {key_id[:80]!r}")
        return found

    def list(self, tenant: str) -> list[KeyState]:
        """The tenant's keys, newest first; revoked and expired ones, too."""
        mine = [each for each in self._keys.values() if each.tenant == tenant]
        return sorted(mine, key=lambda each: each.created_at.ToNanoseconds(), reverse=True)

    async def newest(self, tenant: str, key_id: str) -> Stored[KeyState]:
        """The key's record as the bus has it, to be changed and given to `write`.

        Raises:
            NotFoundError: no such key, or another tenant's.
            UnavailableError: the bus is away.
        """
        self.get(tenant, key_id)
        stored = await self._store.last(key_state(key_id), KeyState)
        if stored is None or stored.body.tenant != tenant:
            raise NotFoundError(f"no API key {key_id[:80]!r}")
        return stored

    async def write(self, state: KeyState, *, expected: int) -> int:
        """Store the record if the last one has this sequence, 0 for none yet; its own sequence.

        Raises:
            StaleWriteError: somebody else wrote first.
            UnavailableError: the bus is away; it may have been written.
        """
        return await self._store.publish(key_state(state.key_id), state, expect_last=expected)

    def _apply(self, stored: Stored[Any]) -> None:
        state: KeyState = stored.body
        before = self._keys.get(state.key_id)
        if before is not None:
            self._holders.pop(before.key_sha256, None)
        self._keys[state.key_id] = state
        if not state.revoked and state.key_sha256:
            self._holders[state.key_sha256] = _Holder(_caller(state), expiry_of(state))


def expiry_of(state: KeyState) -> float:
    """When the key ends to count, in seconds since 1970."""
    if not state.HasField("expires_at"):
        return float("inf")
    return state.expires_at.ToNanoseconds() / 1e9


def _caller(state: KeyState) -> Caller:
    return Caller(
        tenant=state.tenant,
        subject=state.key_id,
        scopes=frozenset(state.scopes),
        key_id=state.key_id,
        models=frozenset(state.models) or None,
    )
