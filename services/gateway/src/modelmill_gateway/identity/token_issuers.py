"""The verifier of tokens, with the keys of every issuer that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from modelmill_gateway.adapters.background import Background
from modelmill_gateway.adapters.key_set import FileKeys, UrlKeys
from modelmill_gateway.adapters.oidc_keys import OidcKeys
from modelmill_gateway.adapters.tokens import TokenVerifier
from modelmill_gateway.adapters.trusted_issuer import KeySource, OidcIssuer, TrustedIssuer
from modelmill_gateway.identity.oidc_settings import OidcSettings
from modelmill_gateway.settings import Settings


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
