"""OpenID providers beside our own issuer: real ones, each on a socket of its own."""

import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.house import House
from gateway_support.issuer import AUDIENCE, Issuer, rsa_key
from gateway_support.provider import DISCOVERY, KEYS, Provider, running_provider
from modelmill_gateway.adapters.key_set import (
    MAX_JWKS_BYTES,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    OidcKeys,
)
from modelmill_gateway.oidc_settings import OidcSettings
from pydantic import ValidationError


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


def signer(tmp_path: Path, provider: Provider, number: int = 1) -> Issuer:
    """A key of the provider's."""
    made = Issuer(tmp_path / f"jwks-{number}.json", f"key-{number}", rsa_key(number))
    made.name = provider.url
    return made


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def tokens_of(ours: Issuer, first: Issuer, second: Issuer) -> list[tuple[str, int]]:
    """Tokens of three issuers, and how each is answered."""
    claims = {"aud": ["mill", "else"], "org": "acme", "tenant": None, "scope": None}
    good = claims | {"roles": ["models:read", "openid"]}
    told = good | {"roles": "email models:read"}
    return [
        (ours.token(), 200),
        (first.sign(first.claims(**good), typ="JWT", x5t="AAAA"), 200),
        (first.sign(first.claims(**told)), 200),
        (first.sign(first.claims(**told), typ=None), 401),
        (first.sign(first.claims(**good | {"roles": ["chat"]})), 403),
        (first.sign(first.claims(**good | {"org": None})), 401),
        (first.sign(first.claims(**good | {"aud": ["else"]})), 401),
        (first.sign(first.claims(**good) | {"iss": second.name}), 401),
        (second.token(tenant=None, scope=None), 200),
        (second.token(iss=first.name), 401),
        (second.token(iss=ours.name), 401),
        (second.sign(second.claims(), x5c=["AAAA"]), 401),
        (ours.token(iss=second.name), 401),
    ]


async def test_tokens_of_several_issuers_count_each_for_what_it_says(
    own_house: House, tmp_path: Path, provider: Provider
):
    async with running_provider() as other_provider:
        first, second = signer(tmp_path, provider), signer(tmp_path, other_provider, 2)
        provider.publish(first)
        other_provider.publish(second)
        by_claims = {"audience": "mill", "tenant_claim": "org", "scope_claim": "roles"}
        fixed = {"audience": AUDIENCE, "tenant": "fixed", "scopes": ["models:read"]}
        issuers = (
            OidcSettings.model_validate({"issuer": first.name, **by_claims}),
            OidcSettings.model_validate({"issuer": second.name, **fixed}),
        )
        async with another_gateway(own_house, oidc_issuers=issuers) as other:
            client = other.house.http()
            for number, (token, status) in enumerate(tokens_of(own_house.issuer, first, second)):
                bearer = {"authorization": f"Bearer {token}"}
                answer = await client.get("/v1/models", headers=bearer)
                assert answer.status_code == status, number
            # What such a token itself says of tenants and scopes is not asked.
            forged = {"authorization": f"Bearer {second.token(tenant='acme')}"}
            assert (await client.get("/v1/files", headers=forged)).status_code == 403


async def test_old_and_new_keys_count_side_by_side_and_a_withdrawn_one_no_more(
    tmp_path: Path, provider: Provider
):
    clock, old, new = Clock(), signer(tmp_path, provider), signer(tmp_path, provider, 2)
    async with httpx.AsyncClient(trust_env=False) as client:
        keys = OidcKeys(provider.url, client=client, clock=clock)
        provider.publish(old)
        assert await keys.get("key-1") is not None
        provider.publish(old, new)
        assert await keys.get("key-2") is None
        clock.now += REFRESH_SECONDS
        assert await keys.get("key-2") is not None
        assert await keys.get("key-1") is not None
        provider.publish(new)
        await keys.refresh()
        assert await keys.get("key-1") is None


async def test_a_flood_of_unknown_keys_asks_the_provider_once_in_five_minutes(
    tmp_path: Path, provider: Provider
):
    clock, key = Clock(), signer(tmp_path, provider)
    provider.publish(key)
    async with httpx.AsyncClient(trust_env=False) as client:
        keys = OidcKeys(provider.url, client=client, clock=clock)
        for _ in range(3):
            for number in range(100):
                assert await keys.get(f"flood-{number}") is None
            clock.now += REFRESH_SECONDS
    assert provider.asked == [DISCOVERY, KEYS] * 3


def broken(provider: Provider, key: Issuer) -> dict[str, Any]:
    """Ways in which a provider does not answer as one; each changes what it says."""
    about = {"issuer": provider.url, "jwks_uri": f"{provider.url}{KEYS}"}
    to_keys = (302, {"location": f"{provider.url}{KEYS}"}, b"")

    packed = gzip.compress(json.dumps({"keys": [key.jwk()]}).encode())

    def says(**changes: Any) -> Any:
        return lambda: provider.publish(key, **changes)

    def answers(path: str, answer: tuple[int, dict[str, str], bytes]) -> Any:
        return lambda: provider.answers.update({path: answer})

    return {
        "another issuer": says(issuer="https://evil.test"),
        "its own name with a slash": says(issuer=f"{provider.url}/"),
        "its own name as a list": says(issuer=[provider.url]),
        "no issuer": says(issuer=None),
        "no jwks_uri": says(jwks_uri=None),
        "keys without TLS elsewhere": says(jwks_uri="http://keys.test/jwks"),
        "keys on the disk": says(jwks_uri="file:///etc/passwd"),
        "keys behind a password": says(jwks_uri=about["jwks_uri"].replace("//", "//u:p@")),
        "keys as a number": says(jwks_uri=7),
        "keys at a long address": says(jwks_uri=f"https://keys.test/{'a' * 3000}"),
        "no document": answers(DISCOVERY, (404, {}, b"")),
        "a document that is none": answers(DISCOVERY, (200, {}, b"[" * 9000)),
        "a document that moved": answers(DISCOVERY, (302, {"location": "/elsewhere"}, b"")),
        "a document without end": answers(DISCOVERY, (200, {}, b" " * (MAX_JWKS_BYTES + 1))),
        "keys that moved": answers(KEYS, to_keys),
        "keys without end": answers(KEYS, (200, {}, b" " * (MAX_JWKS_BYTES + 1))),
        "keys that are packed": answers(KEYS, (200, {"content-encoding": "gzip"}, packed)),
        "an error": answers(KEYS, (500, {}, b"")),
    }


async def test_a_provider_that_does_not_answer_as_one_has_no_keys_until_it_does(
    tmp_path: Path, provider: Provider
):
    key = signer(tmp_path, provider)
    provider.publish(key)
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, breaks in broken(provider, key).items():
            clock = Clock()
            provider.publish(key)
            provider.say(
                "/elsewhere", {"issuer": provider.url, "jwks_uri": f"{provider.url}{KEYS}"}
            )
            breaks()
            keys = OidcKeys(provider.url, client=client, clock=clock)
            assert await keys.get("key-1") is None, name
            provider.publish(key)
            assert await keys.get("key-1") is None, name
            clock.now += RETRY_SECONDS
            assert await keys.get("key-1") is not None, name


async def test_a_provider_that_is_away_leaves_tokens_of_our_own_as_they_were(
    own_house: House, tmp_path: Path
):
    issuers = (
        OidcSettings(issuer="http://127.0.0.1:9", audience="x", tenant="a", scopes=("chat",)),
    )
    async with another_gateway(own_house, oidc_issuers=issuers) as other:
        stranger = Issuer(tmp_path / "stranger.json")
        stranger.name = "http://127.0.0.1:9"
        async with other.house.http() as client:
            started = time.perf_counter()
            assert (await client.get("/v1/models")).status_code == 200
            bearer = {"authorization": f"Bearer {stranger.token(aud='x')}"}
            assert (await client.get("/v1/models", headers=bearer)).status_code == 401
            assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://issuer.test"},
        {"issuer": "https://issuer.test?x=1"},
        {"issuer": "https://u:p@issuer.test"},
        {"issuer": "file:///etc"},
        {"audience": ""},
        {"tenant": "A.B"},
        {"tenant": ""},
        {"tenant_claim": "org"},
        {"scopes": []},
        {"scope_claim": "roles"},
        {"keys": "x"},
    ],
)
def test_a_provider_is_described_in_one_way_only(change: dict[str, Any]):
    good = {"issuer": "https://a.test", "audience": "x", "tenant": "a", "scopes": ["chat"]}
    OidcSettings(**good)
    with pytest.raises(ValidationError):
        OidcSettings(**(good | change))
