"""Signing secrets of webhooks as they are stored: sealed, and of no use without the key."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from modelmill_service_kit.errors import PreconditionError

NONCE_BYTES = 12
PURPOSE = b"modelmill webhook secrets 1"


class SecretVault:
    """AES-256-GCM under a key derived from `master`.

    Args:
        master: random text of the operator's; whoever has it and the bus can sign as we do.
    """

    def __init__(self, master: str) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=PURPOSE).derive(master.encode())
        self._cipher = AESGCM(derived)

    def seal(self, secret: bytes, webhook_id: str) -> bytes:
        """The secret for storing; it opens for this endpoint alone."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, webhook_id.encode())

    def open(self, sealed: bytes, webhook_id: str) -> bytes:
        """The secret again.

        Raises:
            PreconditionError: it was sealed with another key, or for another endpoint.
        """
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, webhook_id.encode())
        except (InvalidTag, ValueError):
            raise PreconditionError(
                f"the secret of {webhook_id} was sealed with another key. Rotate it"
            ) from None
