"""Keys come from one trusted place, are kept current, and only those count that may sign."""

import json

import httpx
import pytest
from gateway.adapters.key_set import REFRESH_SECONDS, RETRY_SECONDS, FileKeys, UrlKeys, parse_jwks
from gateway.settings import Settings
from gateway_support.issuer import Issuer
from pydantic import ValidationError
from service_kit.errors import InvalidInputError


def test_keys_that_are_not_for_eddsa_signatures_are_left_out(issuer: Issuer):
    good = issuer.jwk()
    others = [
        good | {"kid": "enc", "use": "enc"},
        good | {"kid": "alg", "alg": "HS256"},
        good | {"kid": "crv", "crv": "X25519"},
        {"kty": "oct", "kid": "oct", "k": "AAAA"},
        {name: value for name, value in good.items() if name != "kid"},
    ]

    assert parse_jwks(json.dumps({"keys": [good, *others]}).encode()).keys() == {"key-1"}


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
    now, asked = [0.0], []
    answers = [httpx.Response(503), httpx.Response(200, json={"keys": [issuer.jwk()]})]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(now[0])
        return answers[min(len(asked), len(answers)) - 1]

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        keys = UrlKeys("https://issuer.test/jwks", client=client, clock=lambda: now[0])
        assert await keys.get("key-1") is None
        assert await keys.get("key-1") is None
        assert len(asked) == 1
        now[0] += RETRY_SECONDS
        assert await keys.get("key-1") is not None
        for number in range(100):
            assert await keys.get(f"flood-{number}") is None
        assert len(asked) == 2
        now[0] += REFRESH_SECONDS
        assert await keys.get("key-2") is None
        assert len(asked) == 3


async def test_an_issuer_that_redirects_is_not_followed(issuer: Issuer):
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "issuer.test":
            return httpx.Response(302, headers={"location": "https://evil.test/jwks"})
        return httpx.Response(200, json={"keys": [issuer.jwk()]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        assert await UrlKeys("https://issuer.test/jwks", client=client).get("key-1") is None


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
