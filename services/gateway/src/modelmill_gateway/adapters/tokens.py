"""Bearer tokens: what is checked before a token may say who calls.

RFC 8725 in short: one algorithm, decided by the key and not by the token; keys only from the pinned
set; nothing in the header may bring its own key or change what the signature covers.
"""

import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import httpx
import jwt
from modelmill_service_kit.errors import UnauthenticatedError

from modelmill_gateway.adapters.background import Background
from modelmill_gateway.adapters.key_set import FileKeys, OidcKeys, SigningKey, UrlKeys
from modelmill_gateway.domain.access import SCOPES, Caller
from modelmill_gateway.oidc_settings import OidcSettings
from modelmill_gateway.settings import Settings

MAX_SUBJECT_CHARS = 255
REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "b64", "cty"})
THUMBPRINTS = frozenset({"x5t", "x5t#S256"})
"""Providers send them; they name a key that `kid` names already, and bring none."""

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class KeySource(Protocol):
    """An issuer's public keys."""

    async def get(self, key_id: str) -> SigningKey | None:
        """The key of that id, or None when the issuer has none."""


@dataclass(frozen=True)
class TrustedIssuer:
    """Our own kind: tenant and scopes are claims, and the audience is one text.

    Args:
        name: the `iss` of its tokens, compared whole.
        audience: the `aud` that they must have.
    """

    name: str
    audience: str
    keys: KeySource

    refused_headers = REFUSED_HEADERS
    one_audience = True

    def caller(self, claims: dict[str, Any]) -> Caller:
        """Whom claims with a good signature and good times name.

        Raises:
            ValueError: they are not of the shape that we trust.
        """
        scope = claims.get("scope", "")
        if not isinstance(scope, str):
            raise ValueError("scope")
        return Caller(_tenant(claims.get("tenant")), _subject(claims), frozenset(scope.split()))


@dataclass(frozen=True)
class OidcIssuer(TrustedIssuer):
    """An OpenID provider: who administers it knows nothing of our claims.

    Args:
        tenant: of all its tokens; empty where `tenant_claim` says it.
        scopes: of all its tokens; empty where `scope_claim` says them, as a list or a text.
    """

    tenant: str = ""
    tenant_claim: str = ""
    scopes: Sequence[str] = ()
    scope_claim: str = ""

    refused_headers = REFUSED_HEADERS - THUMBPRINTS
    one_audience = False

    def caller(self, claims: dict[str, Any]) -> Caller:
        """As of our own kind; scopes that are not ours, such as `openid`, grant nothing."""
        tenant = self.tenant or _tenant(claims.get(self.tenant_claim))
        said: Any = self.scopes
        if self.scope_claim:
            said = claims.get(self.scope_claim, "")
            said = said.split() if isinstance(said, str) else said
        if not isinstance(said, list | tuple) or not all(isinstance(each, str) for each in said):
            raise ValueError(self.scope_claim)
        return Caller(tenant, _subject(claims), frozenset(said) & frozenset(SCOPES))


def _tenant(said: Any) -> str:
    if not isinstance(said, str) or _TENANT.fullmatch(said) is None:
        raise ValueError("tenant")
    return said


def _subject(claims: dict[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARS:
        raise ValueError("sub")
    if not subject.isprintable():
        raise ValueError("sub")
    return subject


NOT_VALID = "the token is not valid. `mill token` prints a new one, or ask who issued it"
MAX_TOKEN_BYTES = 8192
LEEWAY_SECONDS = 30
REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]
ALGORITHMS = ("EdDSA", "RS256")
TOKEN_TYPES = ("at+jwt", "jwt", "application/at+jwt")
LAST_SECOND = 253_402_300_799
"""The end of the year 9999, the last that dates are written with."""
MAX_REMEMBERED = 1024

# Three parts of unpadded base64url and nothing else: no JWE, no padding, no white space.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that passed every check, at `since`."""

    keys: KeySource
    key_id: str
    key: SigningKey
    caller: Caller
    since: float
    expires: int


class TokenVerifier:
    """Turns a bearer token into a caller, or refuses it with one and the same message.

    A good token is checked once and then known again until it expires, as long as its key is the
    very one that it was checked with: the key source is asked every time, so that a key that was
    removed or replaced counts no longer than it would without a memory.
    """

    def __init__(self, issuers: Sequence[TrustedIssuer]) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._verified: dict[bytes, _Verified] = {}
        """By the token's digest: the tokens themselves are nobody's to find in this process."""

    async def verify(self, token: str) -> Caller:
        """The caller whom `token` names.

        Raises:
            UnauthenticatedError: expired, forged, not for us, or not a token. Which of the rules
                failed is not said, except about the times of a token that is truly signed.
        """
        if len(token) > MAX_TOKEN_BYTES or _COMPACT.fullmatch(token) is None:
            raise UnauthenticatedError(NOT_VALID)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known.since <= time.time() < known.expires:
            if await known.keys.get(known.key_id) is known.key:
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
            # What it says before its signature is known decides whose keys are asked, no more.
            said = _strict_json(token.split(".")[1])
            _refuse_odd_times(said)
            issuer = self._issuer(said)
            key_id, algorithm = _key_id(token, issuer)
            key = await issuer.keys.get(key_id)
            if key is None or key.algorithm != algorithm:
                raise UnauthenticatedError(NOT_VALID)
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
                audience=issuer.audience,
                issuer=issuer.name,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED_CLAIMS, "strict_aud": issuer.one_audience},
            )
            caller = replace(issuer.caller(claims), expires=claims["exp"])
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            # Raised only once the signature is known to be good.
            raise UnauthenticatedError(_wrong_time(token.split(".")[1])) from error
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise UnauthenticatedError(NOT_VALID) from error
        return _Verified(issuer.keys, key_id, key, caller, now, claims["exp"])

    def _issuer(self, claims: dict[str, Any]) -> TrustedIssuer:
        name = claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise ValueError("iss")
        return issuer


def _key_id(token: str, issuer: TrustedIssuer) -> tuple[str, str]:
    """The key that the header names and its algorithm, once nothing speaks against the header."""
    header = _strict_json(token.split(".")[0])
    kind, algorithm = header.get("typ", "jwt"), header.get("alg")
    if issuer.refused_headers & header.keys() or algorithm not in ALGORITHMS:
        raise ValueError("header")
    if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
        raise ValueError("typ")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise ValueError("kid")
    return key_id, str(algorithm)


def _refuse_odd_times(claims: dict[str, Any]) -> None:
    """Raise ValueError for times that are no whole seconds between 1970 and the year 9999."""
    for name in ("exp", "iat", "nbf"):
        # True is an int to Python, and no time.
        if name in claims and (
            type(claims[name]) is not int or not 0 <= claims[name] <= LAST_SECOND
        ):
            raise ValueError(name)


def _wrong_time(payload: str) -> str:
    """By how much the token's times miss ours, which tells old tokens from clocks that differ."""
    now = time.time()
    try:
        claims = _strict_json(payload)
        ahead = max(float(claims.get(name, 0)) for name in ("iat", "nbf")) - now
        late = now - float(claims["exp"])
    except (ValueError, TypeError, OverflowError):
        return NOT_VALID
    if ahead > 0:
        return (
            f"the token is from {_seconds(ahead)} s in the future: the clocks of its issuer and of"
            " the gateway differ. Set them right"
        )
    return (
        f"the token has expired {_seconds(late)} s ago. Get a new one, and if it is new, the clocks"
        " of its issuer and of the gateway differ by more than that"
    )


def _seconds(value: float) -> int:
    return max(0, round(value))


def _strict_json(part: str) -> dict[str, Any]:
    """A part of the token as an object in which no name comes twice, and all numbers are JSON's."""
    raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    # Given bytes, `json` would guess UTF-16 and UTF-32, too; a token is UTF-8 without a mark.
    text = raw.decode("utf-8")
    parsed = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    if not isinstance(parsed, dict):
        raise ValueError("not an object")
    return parsed


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name comes twice")
    return names


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@asynccontextmanager
async def open_verifier(settings: Settings, background: Background) -> AsyncIterator[TokenVerifier]:
    """Keys are fetched when a token asks for them, and again in the background."""
    # No proxy from the environment: keys come from the configured address and nowhere else.
    async with httpx.AsyncClient(trust_env=False) as client:
        ours = TrustedIssuer(
            settings.jwt_issuer, settings.jwt_audience, _our_keys(settings, client, background)
        )
        others = [_provider(each, client, background) for each in settings.oidc_issuers]
        yield TokenVerifier([ours, *others])


def _our_keys(settings: Settings, client: httpx.AsyncClient, background: Background) -> KeySource:
    if settings.jwks_path is not None:
        return FileKeys(settings.jwks_path)
    assert settings.jwks_url is not None, "the settings demand one of the two"
    fetched = UrlKeys(settings.jwks_url, client=client)
    background.start(fetched.run())
    return fetched


def _provider(
    settings: OidcSettings, client: httpx.AsyncClient, background: Background
) -> OidcIssuer:
    keys = OidcKeys(settings.issuer, client=client)
    background.start(keys.run())
    return OidcIssuer(
        settings.issuer,
        settings.audience,
        keys,
        tenant=settings.tenant,
        tenant_claim=settings.tenant_claim,
        scopes=settings.scopes,
        scope_claim=settings.scope_claim,
    )
