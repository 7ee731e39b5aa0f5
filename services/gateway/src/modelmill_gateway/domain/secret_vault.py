"""Secrets that lie sealed where others may read: on the bus and in the artifact store."""

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from modelmill_service_kit.errors import PreconditionError

NONCE_BYTES = 12


@dataclass(frozen=True)
class Purpose:
    """What secrets are sealed for; those of one purpose open for no other."""

    info: bytes
    remedy: str
    """What to do when the operator's key is another one."""


WEBHOOK_SECRETS = Purpose(b"modelmill webhook secrets 1", "Rotate it")
LOG_KEYS = Purpose(b"modelmill log keys 1", "Set GATEWAY_WEBHOOK_KEY as it was")


class SecretVault:
    """AES-256-GCM under a key derived from `master`.

    Args:
        master: Random text of the operator's; whoever has it and the bus has the secrets.
    """

    def __init__(self, master: str, purpose: Purpose) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=purpose.info).derive(master.encode())
        self._cipher = AESGCM(derived)
        self._remedy = purpose.remedy

    def seal(self, secret: bytes, name: str) -> bytes:
        """The secret for storing; it opens under this name alone."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """The secret again.

        Raises:
            PreconditionError: It was sealed with another key, or under another name.
        """
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, name.encode())
        except (InvalidTag, ValueError):
            raise PreconditionError(
                f"the secret of {name} was sealed with another key. {self._remedy}"
            ) from None
