"""Keys by which the texts of a user are sealed: deleting one deletes what it sealed."""

from contextlib import suppress
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from modelmill.gateway.v1.gateway_events_pb2 import LogKey
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.subjects import log_key

from modelmill_gateway.domain.secret_vault import SecretVault

STREAM = "LOGS"
KEY_BITS = 256


@dataclass(frozen=True)
class UserKey:
    """What the texts of a user are sealed by, until it is deleted."""

    cipher: AESGCM
    sequence: int
    """Of its message, by which it is told from those before and after."""


class LogKeys:
    """Read from the bus whenever one is needed: a process that kept one could go on reading.

    All raise UnavailableError when the bus is away.
    """

    def __init__(self, bus: Bus, vault: SecretVault) -> None:
        self._bus = bus
        self._vault = vault

    async def find(self, tenant: str, user: bytes) -> UserKey | None:
        """What the texts of a user are sealed by; None when they were deleted.

        Raises:
            PreconditionError: The operator's key is another one than it was sealed with.
        """
        subject = log_key(tenant, user.hex())
        stored = await self._bus.last(subject, LogKey)
        if stored is None:
            return None
        cipher = AESGCM(self._vault.open(stored.body.sealed_key, subject))
        return UserKey(cipher, stored.sequence)

    async def find_or_make(self, tenant: str, user: bytes) -> UserKey:
        """The same, for somebody who is about to seal."""
        while (found := await self.find(tenant, user)) is None:
            # Of two who make one the first wins, and both use that.
            with suppress(StaleWriteError):
                await self._make(tenant, user)
        return found

    async def delete(self, tenant: str, user: bytes) -> bool:
        """Overwrite it on the bus; whether there was one."""
        subject, existed = log_key(tenant, user.hex()), False
        while (stored := await self._bus.last(subject, LogKey)) is not None:
            await self._bus.erase(STREAM, stored.sequence)
            existed = True
        return existed

    async def _make(self, tenant: str, user: bytes) -> None:
        subject = log_key(tenant, user.hex())
        sealed = self._vault.seal(AESGCM.generate_key(KEY_BITS), subject)
        made = LogKey(tenant=tenant, user=user.hex(), sealed_key=sealed)
        made.made_at.GetCurrentTime()
        await self._bus.publish(subject, made, expect_last=0)
