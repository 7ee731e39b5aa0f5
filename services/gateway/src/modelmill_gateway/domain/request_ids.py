"""Ids of requests, which tell whose they were: nobody has to keep a list of them."""

import hashlib
import hmac
import os
import uuid

PREFIX = "req-"
DRAWN_BYTES, TAG_BYTES = 10, 6


class RequestIds:
    """Gives ids that end in a tag of their tenant, and knows its own.

    Args:
        secret: what all gateways share and nobody else has; with another one nothing that was given
            before is known.
    """

    def __init__(self, secret: str) -> None:
        said = b"modelmill.gateway.request-ids:" + secret.encode()
        self._key = hashlib.sha256(said).digest()

    def new(self, tenant: str) -> str:
        """The id of a request of this tenant."""
        drawn = os.urandom(DRAWN_BYTES).hex()
        return f"{PREFIX}{drawn}{self._tag(drawn, tenant)}"

    def are_of(self, tenant: str, request_id: str) -> bool:
        """Whether a request of this tenant was given the id."""
        said = request_id.removeprefix(PREFIX)
        drawn, tag = said[: 2 * DRAWN_BYTES], said[2 * DRAWN_BYTES :]
        return hmac.compare_digest(tag.encode(), self._tag(drawn, tenant).encode())

    def _tag(self, drawn: str, tenant: str) -> str:
        said = f"{drawn} {tenant}".encode()
        return hashlib.blake2b(said, key=self._key, digest_size=TAG_BYTES).hexdigest()


def nobodys_id() -> str:
    """The id of a request whose tenant is not known."""
    return f"{PREFIX}{uuid.uuid4().hex}"
