"""Keys come from one trusted place, are kept current, and only those count that may sign."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_support.issuer import Issuer, rsa_key
from gateway_support.provider import KEYS, running_provider
from modelmill_gateway.adapters.key_set import (
    REFRESH_SECONDS,
    RETRY_SECONDS,
    FileKeys,
    UrlKeys,
    parse_jwks,
)
from modelmill_gateway.settings import Settings
from modelmill_service_kit.errors import InvalidInputError
from pydantic import ValidationError


def test_keys_that_are_not_for_signatures_that_we_take_are_left_out(issuer: Issuer):
    good = issuer.jwk()
    others = [
        good | {"kid": "enc", "use": "enc"},
        good | {"kid": "alg", "alg": "HS256"},
        good | {"kid": "crv", "crv": "X25519"},
        {"kty": "oct", "kid": "oct", "k": "AAAA"},
        rsa_jwk(1) | {"kid": "rsa for PS256", "alg": "PS256"},
        rsa_jwk(1) | {"kid": "rsa to encrypt", "use": "enc"},
        rsa_jwk(1) | {"kid": "small exponent", "e": "Aw"},
        rsa_jwk(3, bits=1024) | {"kid": "short"},
        {name: value for name, value in good.items() if name != "kid"},
    ]

    assert parse_jwks(json.dumps({"keys": [good, *others]}).encode()).keys() == {"key-1"}


def test_each_key_is_for_one_algorithm_whatever_it_leaves_out(issuer: Issuer):
    unsaid = [rsa_jwk(1) | {"kid": "rsa"}, issuer.jwk()]
    for jwk in unsaid:
        del jwk["alg"]
    keys = parse_jwks(json.dumps({"keys": unsaid}).encode())

    assert {name: key.algorithm for name, key in keys.items()} == {"rsa": "RS256", "key-1": "EdDSA"}


def rsa_jwk(number: int, bits: int = 2048) -> dict[str, Any]:
    return Issuer(Path("/dev/null"), rsa=rsa_key(number, bits)).jwk()


@pytest.mark.parametrize("text", [b"", b"[]", b'{"keys": 1}', b'{"keys": []}', b"[" * 9000, b"{}"])
def test_what_is_not_a_jwks_is_refused(text: bytes):
    with pytest.raises(InvalidInputError):
        parse_jwks(text)


async def test_a_changed_key_file_is_read_again_and_a_broken_one_is_not(issuer: Issuer):
    now = [0.0]
    keys = FileKeys(issuer.jwks_file, clock=lambda: now[0])
    rotated = issuer.jwk() | {"kid": "key-2"}
    issuer.jwks_file.write_text(json.dumps({"keys": [rotated]}))

    assert await keys.get("key-1") is not None
    now[0] += 2
    assert await keys.get("key-1") is None
    assert await keys.get("key-2") is not None
    issuer.jwks_file.write_text("{")
    now[0] += 2
    assert await keys.get("key-2") is not None


async def test_an_issuer_is_asked_about_an_unknown_key_once_in_five_minutes(issuer: Issuer):
    now = [0.0]
    async with running_provider() as provider, httpx.AsyncClient(trust_env=False) as client:
        keys = UrlKeys(f"{provider.url}{KEYS}", client=client, clock=lambda: now[0])
        assert await keys.get("key-1") is None
        assert await keys.get("key-1") is None
        assert len(provider.asked) == 1
        provider.publish(issuer)
        now[0] += RETRY_SECONDS
        assert await keys.get("key-1") is not None
        for number in range(100):
            assert await keys.get(f"flood-{number}") is None
        assert len(provider.asked) == 2
        now[0] += REFRESH_SECONDS
        assert await keys.get("key-2") is None
        assert len(provider.asked) == 3


async def test_an_issuer_that_redirects_is_not_followed(issuer: Issuer):
    async with running_provider() as provider, httpx.AsyncClient(trust_env=False) as client:
        provider.publish(issuer)
        provider.answers["/moved"] = (302, {"location": f"{provider.url}{KEYS}"}, b"")
        assert await UrlKeys(f"{provider.url}{KEYS}", client=client).get("key-1") is not None
        assert await UrlKeys(f"{provider.url}/moved", client=client).get("key-1") is None


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"jwks_url": "http://issuer.test/jwks"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": "http://127.0.0.1.evil.test/jwks"},
        {"jwks_url": "https://issuer.test/jwks", "jwks_path": "/keys.json"},
    ],
)
def test_keys_come_from_one_file_or_one_safe_address(source: dict[str, str]):
    rest = dict.fromkeys(
        (
            "nats_url",
            "nats_token",
            "service_secret",
            "artifact_root",
            "work_root",
            "inference_address",
            "moderation_address",
            "data_prep_address",
            "trainer_address",
            "optimizer_builder_address",
            "jwt_issuer",
            "jwt_audience",
        ),
        "x",
    )

    Settings(**rest, jwks_url="http://127.0.0.1:9/jwks")
    with pytest.raises(ValidationError):
        Settings(**rest, **source)
