"""Keys of an OpenID Connect issuer: found by its name, kept current as those of any other."""

import json

from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.adapters.key_set import UrlKeys, read_document
from modelmill_gateway.domain.key_addresses import is_safe_address

DISCOVERY = "/.well-known/openid-configuration"
MAX_URL_CHARS = 2048


class OidcKeys(UrlKeys):
    """`url` is the issuer; each time its document says anew where the JWKS lies."""

    async def _read(self) -> bytes:
        found = await read_document(self._client, self._url.rstrip("/") + DISCOVERY)
        return await read_document(self._client, jwks_address(found, issuer=self._url))


def jwks_address(document: bytes, *, issuer: str) -> str:
    """Where an issuer's document says that its keys lie.

    Raises:
        InvalidInputError: it is another issuer's document, none at all, or names an address that
            keys may not come from.
    """
    try:
        said = json.loads(document)
        named, address = said["issuer"], said["jwks_uri"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError("not a document of an OpenID provider") from error
    if named != issuer:
        raise InvalidInputError(f"the document is of the issuer {str(named)[:80]!r}")
    if not isinstance(address, str) or len(address) > MAX_URL_CHARS:
        raise InvalidInputError("jwks_uri is not an address")
    if not is_safe_address(address):
        raise InvalidInputError("jwks_uri must be https, or http on loopback")
    return address
