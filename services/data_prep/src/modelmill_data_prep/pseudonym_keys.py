"""The keys that stand-ins for people's data are made with: one for each tenant, never stored."""

import hashlib
import hmac


class PseudonymKeys:
    """Derives keys from the service's secret; another secret gives other stand-ins.

    Args:
        secret: Of the installation.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def of(self, tenant: str) -> bytes:
        """The tenant's key, 32 bytes. Without it nobody can try out whose stand-in one is."""
        return hmac.digest(
            self._secret, f"data-prep pseudonyms of {tenant}".encode(), hashlib.sha256
        )
