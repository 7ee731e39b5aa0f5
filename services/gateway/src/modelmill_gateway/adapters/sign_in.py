"""OpenID providers at which people sign in to the console: their endpoints, kept current."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.adapters.background import Background
from modelmill_gateway.adapters.key_set import (
    DISCOVERY,
    FETCH_SECONDS,
    MAX_URL_CHARS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    read_document,
)
from modelmill_gateway.domain.public_addresses import is_safe_address
from modelmill_gateway.oidc_settings import OidcSettings
from modelmill_gateway.ports import SignInProvider

log = logging.getLogger(__name__)

HOST_AND_PORT = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")
"""What may stand in a policy of contents beside its own words."""


class SignInProviders:
    """Asks each provider for its endpoints, in the background: nobody's request waits for one."""

    def __init__(self, settings: Sequence[OidcSettings], client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._found: dict[str, SignInProvider] = {}

    @property
    def providers(self) -> Sequence[SignInProvider]:
        """Those whose endpoints are known, in the order of the settings."""
        return [self._found[it.issuer] for it in self._settings if it.issuer in self._found]

    async def run(self) -> None:
        """Ask again and again; what was found stays where a provider is away."""
        while True:
            await asyncio.gather(*map(self._look, self._settings))
            is_whole = len(self._found) == len(self._settings)
            await asyncio.sleep(REFRESH_SECONDS if is_whole else RETRY_SECONDS)

    async def _look(self, of: OidcSettings) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                said = await read_document(self._client, of.issuer.rstrip("/") + DISCOVERY)
            self._found[of.issuer] = provider_of(said, of)
        except (httpx.HTTPError, InvalidInputError, TimeoutError) as error:
            log.error("people cannot sign in at %s yet: %r", of.issuer, error)


def provider_of(document: bytes, of: OidcSettings) -> SignInProvider:
    """Where a provider's document says that people sign in.

    Raises:
        InvalidInputError: it is another's document, none at all, or names addresses that are not
            safe.
    """
    try:
        said = json.loads(document)
        endpoints = [said[f"{name}_endpoint"] for name in ("authorization", "token")]
        issuer = said["issuer"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError("not a document of an OpenID provider") from error
    if issuer != of.issuer:
        raise InvalidInputError(f"the document is of the issuer {str(issuer)[:80]!r}")
    if not all(map(_is_endpoint, endpoints)):
        raise InvalidInputError("endpoints must be https, or http on loopback, without a fragment")
    return SignInProvider(of.issuer, of.client_id, of.sign_in_scope, *endpoints)


def _is_endpoint(address: Any) -> bool:
    return (
        isinstance(address, str)
        and len(address) <= MAX_URL_CHARS
        and address.isascii()
        and address.isprintable()
        and "#" not in address
        and is_safe_address(address)
        and HOST_AND_PORT.fullmatch(urlsplit(address).netloc) is not None
    )


@asynccontextmanager
async def open_sign_in(
    issuers: Sequence[OidcSettings], background: Background
) -> AsyncIterator[SignInProviders]:
    """Providers of which a client is known."""
    # No proxy from the environment, as for their keys.
    async with httpx.AsyncClient(trust_env=False) as client:
        made = SignInProviders([each for each in issuers if each.client_id], client)
        background.start(made.run())
        yield made
