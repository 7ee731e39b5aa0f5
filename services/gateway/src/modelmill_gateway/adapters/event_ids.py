"""Ids of a job's events as callers see them.

The bus counts the events of all tenants together. An id must bring a reader back to its place, so
it carries the count, and must not tell it: from two ids one could read how much others do.
"""

import base64
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from modelmill_service_kit.errors import InvalidInputError

PREFIX = "event-"
PADDED_CHARS = 48
"""All ids are as long as the longest one."""
_SEALED = re.compile(r"event-([A-Za-z0-9_-]{86})")
_COUNTED = re.compile(r"(state|progress)-.*")


class SealedEventIds:
    """Encrypts ids that carry a count, the same one alike each time, and decrypts them.

    Args:
        secret: what all gateways share, and nobody else: any of them goes on where another was.
    """

    def __init__(self, secret: str) -> None:
        derived = HKDF(SHA256(), length=32, salt=None, info=b"modelmill.gateway.event-ids")
        self._cipher = AESSIV(derived.derive(secret.encode()))

    def seal(self, job_id: str, event_id: str) -> str:
        """The id for callers."""
        if _COUNTED.fullmatch(event_id) is None:
            return event_id
        sealed = self._cipher.encrypt(event_id.ljust(PADDED_CHARS).encode(), [job_id.encode()])
        return PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, job_id: str, shown: str) -> str:
        """The id itself.

        Raises:
            InvalidInputError: it was not given out for an event of this job.
        """
        match = _SEALED.fullmatch(shown)
        if match is None:
            if _COUNTED.match(shown) is None:
                return shown
            raise _unknown(shown)
        sealed = base64.urlsafe_b64decode(match[1] + "==")
        try:
            return self._cipher.decrypt(sealed, [job_id.encode()]).decode().rstrip()
        except InvalidTag:
            raise _unknown(shown) from None


def _unknown(shown: str) -> InvalidInputError:
    return InvalidInputError(f"after: no event {shown[:80]!r} of this job")
