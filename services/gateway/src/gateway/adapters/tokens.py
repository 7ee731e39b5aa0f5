"""Bearer tokens: what is checked before a token may say who calls.

RFC 8725 in short: one algorithm, decided by the key and not by the token; keys only from the pinned
set; nothing in the header may bring its own key or change what the signature covers.
"""

import base64
import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from service_kit.errors import UnauthenticatedError

from gateway.domain.access import Caller

MAX_TOKEN_BYTES = 8192
LEEWAY_SECONDS = 30
REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]
TOKEN_TYPES = ("at+jwt", "jwt", "application/at+jwt")
REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "b64", "cty"})
MAX_SUBJECT_CHARS = 255
MAX_SAID_SECONDS = 10**10
MAX_REMEMBERED = 1024

# Three parts of unpadded base64url and nothing else: no JWE, no padding, no white space.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class KeySource(Protocol):
    """The issuer's public keys."""

    async def get(self, key_id: str) -> Ed25519PublicKey | None:
        """The key of that id, or None when the issuer has none."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that passed every check, at `since`."""

    key_id: str
    key: Ed25519PublicKey
    caller: Caller
    since: float
    expires: int


class TokenVerifier:
    """Turns a bearer token into a caller, or refuses it with one and the same message.

    A good token is checked once and then known again until it expires, as long as its key is the
    very one that it was checked with: the key source is asked every time, so that a key that was
    removed or replaced counts no longer than it would without a memory.
    """

    def __init__(self, keys: KeySource, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._verified: dict[bytes, _Verified] = {}
        """By the token's digest: the tokens themselves are nobody's to find in this process."""

    async def verify(self, token: str) -> Caller:
        """The caller whom `token` names.

        Raises:
            UnauthenticatedError: expired, forged, not for us, or not a token. Which of the rules
                failed is not said, except about the times of a token that is truly signed.
        """
        if len(token) > MAX_TOKEN_BYTES or _COMPACT.fullmatch(token) is None:
            raise UnauthenticatedError("the token is not valid")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known.since <= time.time() < known.expires:
            if await self._keys.get(known.key_id) is known.key:
                return known.caller
            self._verified.pop(digest, None)
        verified = await self._check(token)
        if len(self._verified) >= MAX_REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified
        return verified.caller

    async def _check(self, token: str) -> _Verified:
        now = time.time()
        try:
            key_id = _key_id(token)
            key = await self._keys.get(key_id)
            if key is None:
                raise UnauthenticatedError("the token is not valid")
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED_CLAIMS, "strict_aud": True},
            )
            _refuse_odd_claims(token.split(".")[1], claims)
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            # Raised only once the signature is known to be good.
            raise UnauthenticatedError(_wrong_time(token.split(".")[1])) from error
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise UnauthenticatedError("the token is not valid") from error
        caller = Caller(claims["tenant"], claims["sub"], frozenset(claims["scope"].split()))
        return _Verified(key_id, key, caller, now, claims["exp"])


def _key_id(token: str) -> str:
    """The key that the header names, once nothing in the header speaks against it."""
    header = _strict_json(token.split(".")[0])
    kind = header.get("typ", "jwt")
    if REFUSED_HEADERS & header.keys() or header.get("alg") != "EdDSA":
        raise ValueError("header")
    if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
        raise ValueError("typ")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise ValueError("kid")
    return key_id


def _refuse_odd_claims(payload: str, claims: dict[str, Any]) -> None:
    """Raise ValueError for claims that are signed and yet not of the shape that we trust."""
    _strict_json(payload)
    for name in ("exp", "iat", "nbf"):
        if name in claims and type(claims[name]) is not int:
            raise ValueError(name)
    subject = claims["sub"]
    if not 0 < len(subject) <= MAX_SUBJECT_CHARS or not subject.isprintable():
        raise ValueError("sub")
    tenant = claims.get("tenant")
    if not isinstance(tenant, str) or _TENANT.fullmatch(tenant) is None:
        raise ValueError("tenant")
    claims.setdefault("scope", "")
    if not isinstance(claims["scope"], str):
        raise ValueError("scope")


def _wrong_time(payload: str) -> str:
    """By how much the token's times miss ours, which tells old tokens from clocks that differ."""
    now = time.time()
    try:
        claims = _strict_json(payload)
        ahead = max(float(claims.get(name, 0)) for name in ("iat", "nbf")) - now
        late = now - float(claims["exp"])
    except (ValueError, TypeError, OverflowError):
        return "the token is not valid"
    if ahead > 0:
        return (
            f"the token is from {_seconds(ahead)} s in the future: the clocks of its issuer and of"
            " the gateway differ; set them right"
        )
    return (
        f"the token has expired {_seconds(late)} s ago; get a new one, and if it is new, the clocks"
        " of its issuer and of the gateway differ by more than that"
    )


def _seconds(value: float) -> int:
    return max(0, round(min(value, MAX_SAID_SECONDS)))


def _strict_json(part: str) -> dict[str, Any]:
    """A part of the token as an object in which no name comes twice."""
    text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    parsed = json.loads(text, object_pairs_hook=_no_repeats)
    if not isinstance(parsed, dict):
        raise ValueError("not an object")
    return parsed


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name comes twice")
    return names
