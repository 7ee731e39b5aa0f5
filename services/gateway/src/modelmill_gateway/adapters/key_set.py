"""The issuer's public keys: parsed from a JWKS, and kept current from a file or an address."""

import asyncio
import base64
import binascii
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.public_addresses import is_safe_address

log = logging.getLogger(__name__)

MAX_JWKS_BYTES = 256 * 1024
REFRESH_SECONDS = 300.0
"""An unknown key id asks the issuer again at most this often."""
RETRY_SECONDS = 10.0
"""The same after an attempt that failed."""
FILE_CHECK_SECONDS = 1.0
FETCH_SECONDS = 5.0

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
RSA_EXPONENT = 65537
"""That of every issuer in use; small ones have a history of forged signatures."""


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A public key and the one algorithm that it is for; the token has no say in that."""

    algorithm: str
    public: Ed25519PublicKey | RSAPublicKey


Keys = Mapping[str, SigningKey]

SMALL_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""Points of order 8 or less on edwards25519 (RFC 8032), sign bit cleared, in every encoding.

Under such a key OpenSSL accepts a signature that anyone can write down, for one message in a few.
"""


def parse_jwks(text: bytes) -> Keys:
    """The Ed25519 and RSA signing keys of a JWKS by key id; keys of other kinds are left out.

    Raises:
        InvalidInputError: not a JWKS, or it holds no usable key.
    """
    if len(text) > MAX_JWKS_BYTES:
        raise InvalidInputError(f"the JWKS is larger than {MAX_JWKS_BYTES} bytes")
    try:
        entries = json.loads(text)["keys"]
        keys = dict(filter(None, (_signing_key(entry) for entry in entries)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInputError(f"not a JWKS: {error}") from error
    if not keys:
        raise InvalidInputError("the JWKS holds no Ed25519 or RSA signing key with a kid")
    return keys


def _signing_key(jwk: Mapping[str, Any]) -> tuple[str, SigningKey] | None:
    """The key, if it says of itself that it is for signatures of the one kind that we take of it.

    RSA keys without `alg`, as some providers publish them, are for RS256.
    """
    key_id, use = jwk.get("kid"), jwk.get("use", "sig")
    if not isinstance(key_id, str) or use != "sig":
        return None
    kind = (jwk.get("kty"), jwk.get("crv"))
    if kind == ("OKP", "Ed25519") and jwk.get("alg", "EdDSA") == "EdDSA":
        curve = _ed25519(_number(jwk, "x"))
        return (key_id, SigningKey("EdDSA", curve)) if curve is not None else None
    if kind == ("RSA", None) and jwk.get("alg", "RS256") == "RS256":
        rsa = _rsa(_number(jwk, "n"), _number(jwk, "e"))
        return (key_id, SigningKey("RS256", rsa)) if rsa is not None else None
    return None


def _ed25519(raw: bytes) -> Ed25519PublicKey | None:
    key = Ed25519PublicKey.from_public_bytes(raw)
    return None if raw[:-1] + bytes([raw[-1] & 0x7F]) in SMALL_ORDER else key


def _rsa(modulus: bytes, exponent: bytes) -> RSAPublicKey | None:
    """The key, if it is long enough to be trusted and short enough to be computed with."""
    n, e = int.from_bytes(modulus), int.from_bytes(exponent)
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS or e != RSA_EXPONENT:
        return None
    return RSAPublicNumbers(e, n).public_key()


def _number(jwk: Mapping[str, Any], name: str) -> bytes:
    text = str(jwk[name])
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise InvalidInputError(f"the key {str(jwk['kid'])[:80]!r} is not base64url") from error


class FileKeys:
    """Keys of a JWKS file, read again within a second of a change; a removed key counts no more.

    A file that stops being readable or valid keeps the last good keys and says so in the log.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked_at = clock()
        self._stamp = self._stat()
        self._keys = parse_jwks(path.read_bytes())

    async def get(self, key_id: str) -> SigningKey | None:
        """The key of that id, or None."""
        now = self._clock()
        if now - self._looked_at >= FILE_CHECK_SECONDS:
            self._looked_at = now
            await asyncio.to_thread(self._read_if_changed)
        return self._keys.get(key_id)

    def _read_if_changed(self) -> None:
        try:
            stamp = self._stat()
            if stamp != self._stamp:
                self._keys = parse_jwks(self._path.read_bytes())
                self._stamp = stamp
        except (OSError, InvalidInputError) as error:
            log.error("keeping the last good keys, %s: %s", self._path.name, error)

    def _stat(self) -> tuple[int, int, int]:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


class UrlKeys:
    """Keys fetched from the issuer on first use, on an unknown key id, and when they are old.

    Args:
        url: where the JWKS lies; `OidcKeys` finds it by the issuer's name.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._keys: Keys = {}
        self._not_before = clock()
        self._lock = asyncio.Lock()

    async def get(self, key_id: str) -> SigningKey | None:
        """The key of that id, or None. Asks the issuer only as often as the limits allow."""
        if key_id not in self._keys:
            async with self._lock:
                if key_id not in self._keys and self._clock() >= self._not_before:
                    await self._fetch()
        return self._keys.get(key_id)

    async def run(self) -> None:
        """Fetch again and again, so that a key that the issuer withdrew stops counting here."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self.refresh()

    async def refresh(self) -> None:
        """Fetch now; what the issuer does not name any more counts no more."""
        async with self._lock:
            await self._fetch()

    async def _fetch(self) -> None:
        wait = RETRY_SECONDS
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._keys = parse_jwks(await self._read())
            wait = REFRESH_SECONDS
        except (httpx.HTTPError, InvalidInputError, TimeoutError) as error:
            log.error("keeping the last good keys, the issuer's could not be fetched: %r", error)
        self._not_before = self._clock() + wait

    async def _read(self) -> bytes:
        return await read_document(self._client, self._url)


async def read_document(client: httpx.AsyncClient, url: str) -> bytes:
    """What lies at an issuer's address, as it comes: nothing is unpacked, no redirect followed.

    Raises:
        InvalidInputError: it is longer than a JWKS may be, or the answer is not 200.
        httpx.HTTPError: no answer.
    """
    body = bytearray()
    plainly = {"accept-encoding": "identity"}
    async with client.stream("GET", url, headers=plainly, follow_redirects=False) as response:
        if response.status_code != httpx.codes.OK:
            raise InvalidInputError(f"the issuer answered {response.status_code}")
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_JWKS_BYTES:
                raise InvalidInputError(f"it is larger than {MAX_JWKS_BYTES} bytes")
    return bytes(body)


DISCOVERY = "/.well-known/openid-configuration"
MAX_URL_CHARS = 2048


class OidcKeys(UrlKeys):
    """Keys of an OpenID provider: `url` is the issuer, whose discovery document names the JWKS."""

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
