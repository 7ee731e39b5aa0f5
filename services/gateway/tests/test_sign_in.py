"""Where people sign in to the console: endpoints of OpenID providers, found and held to rules."""

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_support.house import run_house
from gateway_support.provider import DISCOVERY, running_provider
from modelmill_gateway.adapters.sign_in import provider_of
from modelmill_gateway.oidc_settings import OidcSettings
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually

ISSUER = "https://login.test"
CLIENT = "modelmill-console"


def settings_of(issuer: str, **changes: Any) -> OidcSettings:
    fixed = {"audience": "mill", "tenant": "acme", "scopes": ["chat"], "client_id": CLIENT}
    return OidcSettings.model_validate({"issuer": issuer} | fixed | changes)


def document_of(issuer: str) -> dict[str, Any]:
    """What a provider says of itself."""
    endpoints = {f"{name}_endpoint": f"{issuer}/{name}" for name in ("authorization", "token")}
    return {"issuer": issuer, **endpoints}


async def test_a_provider_with_a_client_is_listed_to_everybody_and_may_be_asked_by_the_console(
    tmp_path: Path,
):
    console = tmp_path / "built"
    console.mkdir()
    (console / "index.html").write_text("<!doctype html>")
    async with running_provider() as provider:
        provider.say(DISCOVERY, document_of(provider.url))
        silent = settings_of("http://127.0.0.1:9", client_id="")
        issuers = (silent, settings_of(provider.url))
        async with (
            run_house(tmp_path, oidc_issuers=issuers, console_folder=console) as house,
            house.http() as client,
        ):
            del client.headers["authorization"]

            async def is_known() -> bool:
                return bool((await client.get("/v1/sign_in")).json()["data"])

            await eventually(is_known)
            (shown,) = (await client.get("/v1/sign_in")).json()["data"]
            policy = (await client.get("/console/index.html")).headers["content-security-policy"]

    assert shown == {
        "object": "sign_in_option",
        "issuer": provider.url,
        "client_id": CLIENT,
        "scope": "openid",
        "authorization_endpoint": f"{provider.url}/authorization",
        "token_endpoint": f"{provider.url}/token",
    }
    assert f"connect-src 'self' {provider.url};" in policy


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.test"},
        {"token_endpoint": None},
        {"token_endpoint": "http://login.test/token"},
        {"token_endpoint": "https://login.test;script-src/token"},
        {"token_endpoint": "https://login.test *"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.test/#/auth"},
        {"authorization_endpoint": "https://ada@login.test/auth"},
    ],
)
def test_a_document_that_leads_elsewhere_counts_for_nothing(changes: dict[str, Any]):
    good = json.dumps(document_of(ISSUER)).encode()
    assert provider_of(good, settings_of(ISSUER)).token_endpoint == f"{ISSUER}/token"

    with pytest.raises(InvalidInputError):
        provider_of(json.dumps(document_of(ISSUER) | changes).encode(), settings_of(ISSUER))


def test_a_sign_in_that_would_not_be_told_apart_is_refused_at_the_start():
    with pytest.raises(ValueError, match="openid"):
        settings_of(ISSUER, sign_in_scope="profile")
