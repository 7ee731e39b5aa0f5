"""Verifiers of every kind of issuer and algorithm, to be attacked alike."""

from pathlib import Path

from modelmill_gateway.adapters.key_set import FileKeys
from modelmill_gateway.adapters.tokens import OidcIssuer, TokenVerifier, TrustedIssuer
from modelmill_service_kit.errors import UnauthenticatedError

from gateway_support.issuer import AUDIENCE, ISSUER, Issuer, rsa_key

KINDS = ("ours", "ours, RS256", "OIDC", "OIDC, RS256")
BY_CURVE = ("ours", "OIDC")


def issuer_of(kind: str, file: Path, number: int) -> Issuer:
    return Issuer(file, rsa=rsa_key(number) if "RS256" in kind else None)


def verifier(issuer: Issuer, kind: str, keys: FileKeys | None = None) -> TokenVerifier:
    keys = keys or FileKeys(issuer.jwks_file)
    if "OIDC" not in kind:
        return TokenVerifier([TrustedIssuer(ISSUER, AUDIENCE, keys)])
    claims = {"tenant_claim": "tenant", "scope_claim": "scope"}
    return TokenVerifier([OidcIssuer(ISSUER, AUDIENCE, keys, **claims)])


async def refused(check: TokenVerifier, token: str) -> bool:
    try:
        await check.verify(token)
    except UnauthenticatedError:
        return True
    return False
