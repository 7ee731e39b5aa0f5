"""Per-tenant keys for pseudonyms, derived and never stored."""

import hashlib
import hmac


class PseudonymKeys:
    """Derives keys from the service's secret; another secret gives other pseudonyms.

    Args:
        secret: Secret of the installation.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def of(self, tenant: str) -> bytes:
        """The tenant's 32-byte key; without it pseudonyms cannot be reversed by guessing."""
        return hmac.digest(
            self._secret, f"data-prep pseudonyms of {tenant}".encode(), hashlib.sha256
        )
