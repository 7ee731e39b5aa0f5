"""Issuers whose tokens count, and what the claims of each are worth."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelmill_gateway.adapters.key_set import SigningKey
from modelmill_gateway.domain.access import SCOPES, Caller

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
