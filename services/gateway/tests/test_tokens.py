"""The attack set of forged, stale and odd tokens; all of them are refused."""

import json
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import jwt
import pytest
from gateway_support.issuer import (
    AUDIENCE,
    ISSUER,
    Issuer,
    encode,
    with_public_key_as_secret,
)
from gateway_support.verifiers import BY_CURVE, KINDS, issuer_of, refused, verifier
from modelmill_gateway.adapters.key_set import FILE_CHECK_SECONDS, FileKeys
from modelmill_service_kit.errors import UnauthenticatedError


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Every algorithm of every kind of issuer: each is attacked alike."""
    return str(request.param)


@pytest.fixture
def issuer(tmp_path: Path, kind: str) -> Issuer:
    return issuer_of(kind, tmp_path / "jwks.json", 1)


async def test_a_good_token_names_tenant_subject_and_scopes(issuer: Issuer, kind: str):
    caller = await verifier(issuer, kind).verify(issuer.token(scope="chat files"))

    assert (caller.tenant, caller.subject) == ("acme", "ada")
    assert caller.scopes == {"chat", "files"}


async def test_scopes_that_are_not_ours_grant_a_provider_nothing(issuer: Issuer, kind: str):
    caller = await verifier(issuer, kind).verify(issuer.token(scope="chat openid"))

    assert caller.scopes == ({"chat"} if "OIDC" in kind else {"chat", "openid"})


async def test_a_token_without_scopes_grants_nothing(issuer: Issuer, kind: str):
    assert (await verifier(issuer, kind).verify(issuer.token(scope=None))).scopes == frozenset()


async def test_leeway_is_thirty_seconds_and_no_more(issuer: Issuer, kind: str):
    now = int(time.time())

    assert not await refused(verifier(issuer, kind), issuer.token(exp=now - 20))
    with pytest.raises(UnauthenticatedError, match="expired"):
        await verifier(issuer, kind).verify(issuer.token(exp=now - 40))


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        ({"iat": 3600}, r"from (3599|3600) s in the future: the clocks"),
        ({"nbf": 120}, r"from (119|120) s in the future: the clocks"),
        ({"iat": 3600, "exp": 7200}, r"from (3599|3600) s in the future: the clocks"),
        ({"iat": -7200, "exp": -3600}, r"expired (3600|3601) s ago.*the clocks"),
    ],
)
async def test_wrong_times_say_by_how_much_the_clocks_differ(
    issuer: Issuer, kind: str, shift: dict[str, int], said: str
):
    now = int(time.time())
    token = issuer.token(**{name: now + seconds for name, seconds in shift.items()})
    with pytest.raises(UnauthenticatedError, match=said):
        await verifier(issuer, kind).verify(token)


async def test_of_a_token_that_nobody_signed_no_time_is_told(
    issuer: Issuer, kind: str, tmp_path: Path
):
    stranger = issuer_of(kind, tmp_path / "stranger.json", 2)
    with pytest.raises(UnauthenticatedError, match=r"^the token is not valid\. [^.]*$"):
        await verifier(issuer, kind).verify(stranger.token(iat=int(time.time()) + 3600))


def odd_claims() -> dict[str, dict[str, Any]]:
    now = int(time.time())
    return {
        "no exp": {"exp": None},
        "past exp": {"exp": now - 3600},
        "exp as float": {"exp": now + 600.5},
        "exp as text": {"exp": str(now + 600)},
        "exp as bool": {"exp": True},
        "endless exp": {"exp": 1e308},
        "no iat": {"iat": None},
        "future iat": {"iat": now + 3600},
        "future nbf": {"nbf": now + 3600},
        "no aud": {"aud": None},
        "wrong aud": {"aud": "somebody"},
        "aud as list of others": {"aud": ["somebody", AUDIENCE + "x"]},
        "aud as empty list": {"aud": []},
        "aud with a number": {"aud": [AUDIENCE, 7]},
        "aud as object": {"aud": {AUDIENCE: True}},
        "aud as prefix": {"aud": AUDIENCE + "x"},
        "no iss": {"iss": None},
        "wrong iss": {"iss": "https://evil.test"},
        "iss as prefix": {"iss": ISSUER + ".evil.test"},
        "iss as list": {"iss": [ISSUER]},
        "no sub": {"sub": None},
        "empty sub": {"sub": ""},
        "sub with line break": {"sub": "ada\nroot"},
        "sub as number": {"sub": 7},
        "no tenant": {"tenant": None},
        "tenant as wildcard": {"tenant": "*"},
        "tenant with dot": {"tenant": "a.b"},
        "tenant with line break": {"tenant": "acme\n"},
        "tenant as list": {"tenant": ["acme"]},
        "scope as number": {"scope": 7},
        "scope as object": {"scope": {"chat": True}},
        "nbf as float": {"nbf": now - 0.5},
        "negative exp": {"exp": -1},
    }


@pytest.mark.parametrize("case", odd_claims().keys())
async def test_signed_but_odd_claims_are_refused(issuer: Issuer, kind: str, case: str):
    assert await refused(verifier(issuer, kind), issuer.token(**odd_claims()[case]))


def odd_headers(issuer: Issuer) -> dict[str, dict[str, Any]]:
    return {
        "crit": {"crit": ["exp"]},
        "crit with b64": {"crit": ["b64"], "b64": True},
        "b64": {"b64": False},
        "jku": {"jku": "https://evil.test/jwks.json"},
        "x5u": {"x5u": "https://evil.test/cert.pem"},
        "x5c": {"x5c": ["AAAA"]},
        "jwk": {"jwk": issuer.jwk()},
        "cty": {"cty": "JWT"},
        "typ of an id token": {"typ": "id_token+jwt"},
        "typ as number": {"typ": 1},
        "no kid": {"kid": None},
        "empty kid": {"kid": ""},
        "kid as path": {"kid": "../../../dev/null"},
        "kid as sql": {"kid": "key-1' OR '1'='1"},
        "unknown kid": {"kid": "key-2"},
        "kid as list": {"kid": ["key-1"]},
        "alg none": {"alg": "none"},
        "alg None": {"alg": "None"},
        "alg NONE": {"alg": "NONE"},
        "alg HS256": {"alg": "HS256"},
        "alg ES256": {"alg": "ES256"},
        "alg as list": {"alg": [issuer.algorithm]},
        "alg of another key": {"alg": "EdDSA" if issuer.algorithm == "RS256" else "RS256"},
        "alg PS256": {"alg": "PS256"},
        "alg RS512": {"alg": "RS512"},
        "alg in lower case": {"alg": issuer.algorithm.lower()},
        "kid as address": {"kid": "https://evil.test/key"},
        "typ of a logout token": {"typ": "logout+jwt"},
        "no alg": {"alg": None},
    }


@pytest.mark.parametrize("case", odd_headers(Issuer(Path("/dev/null"))).keys())
async def test_signed_but_odd_headers_are_refused(issuer: Issuer, kind: str, case: str):
    header = odd_headers(issuer)[case]

    assert await refused(verifier(issuer, kind), issuer.sign(issuer.claims(), **header))


def forged_tokens(issuer: Issuer, stranger: Issuer) -> dict[str, str]:
    """Whose signature is not of the key that is named, or not over what is said."""
    head, body, signature = issuer.token().split(".")
    swapped = encode(json.dumps(issuer.claims(tenant="x")).encode())
    by_public_key = {
        f"{alg} with the public key as {form}": with_public_key_as_secret(issuer, secret, alg=alg)
        for form, secret in issuer.public_forms().items()
        for alg in ("HS256", issuer.algorithm)
    }
    return by_public_key | {
        "another key under our id": stranger.token(),
        "no signature": f"{head}.{body}.",
        "signature of nothing": f"{head}.{body}.{encode(bytes(64))}",
        "body swapped": f"{head}.{swapped}.{signature}",
        "unsigned": jwt.encode(issuer.claims(), None, algorithm="none"),
    }


def malformed_tokens(issuer: Issuer) -> dict[str, str]:
    """What is not written as one token, once and plainly."""
    good = issuer.token()
    head, body, _ = good.split(".")
    claims = json.dumps(issuer.claims()).encode()
    header = json.dumps({"alg": issuer.algorithm, "kid": "key-1"}).encode()
    twice = b'{"alg":"none","alg":"%s","kid":"key-1"}' % issuer.algorithm.encode()
    doubled = claims.replace(b'"tenant": "acme"', b'"tenant": "acme", "tenant": "other"')
    return {
        "padding": good + "=",
        "white space": good + " ",
        "leading white space": " " + good,
        "line break": good + "\n",
        "five parts": f"{good}.AAAA.AAAA",
        "two parts": f"{head}.{body}",
        "JWE": f"{head}.{encode(bytes(256))}.{encode(bytes(12))}.{encode(bytes(16))}.{body}",
        "empty": "",
        "dots": "..",
        "not ascii": good[:-1] + "é",
        "a megabyte": "A" * 1_000_000,
        "a megabyte of claims": issuer.token(junk="A" * 750_000),
        "doubled claim": issuer.sign_raw(header, doubled),
        "doubled header": issuer.sign_raw(twice, claims),
        "claims that are a list": issuer.sign_raw(header, b"[]"),
        "claims that are not JSON": issuer.sign_raw(header, b"{"),
        "claims nested deeply": issuer.sign_raw(header, b"[" * 3000),
        "header nested deeply": issuer.sign_raw(b"[" * 3000, claims),
        "a token in a token": issuer.sign_raw(header, good.encode()),
    }


async def test_forged_and_malformed_tokens_are_refused(issuer: Issuer, kind: str, tmp_path: Path):
    stranger = issuer_of(kind, tmp_path / "stranger.json", 2)
    attacks = forged_tokens(issuer, stranger) | malformed_tokens(issuer)
    check = verifier(issuer, kind)

    passed = [name for name, token in attacks.items() if not await refused(check, token)]

    assert passed == []


@pytest.mark.parametrize("kind", BY_CURVE)
async def test_a_small_order_public_key_signs_nothing_for_us(issuer: Issuer, kind: str):
    # Under the all-zero point this signature verifies for about one message in four.
    weak = issuer.jwk() | {"x": encode(bytes(32))}
    sound = issuer.jwk() | {"kid": "another"}
    issuer.jwks_file.write_text(json.dumps({"keys": [sound, weak]}))
    identity = encode(b"\x01" + bytes(63))
    checking = verifier(issuer, kind)

    for number in range(40):
        head, body, _ = issuer.token(jti=str(number)).split(".")
        assert await refused(checking, f"{head}.{body}.{identity}")


# A good token is known again ----------------------------------------------------------------------


async def test_a_known_token_is_refused_once_its_key_is_removed_or_replaced(
    issuer: Issuer, kind: str, tmp_path: Path
):
    seconds = 0.0
    keys = FileKeys(issuer.jwks_file, clock=lambda: seconds)
    check = verifier(issuer, kind, keys)
    token = issuer.token()
    for _ in range(2):
        assert not await refused(check, token)

    stranger = issuer_of(kind, tmp_path / "stranger.json", 2)
    issuer.jwks_file.write_bytes(stranger.jwks_file.read_bytes())
    seconds += FILE_CHECK_SECONDS

    assert await refused(check, token)
    assert not await refused(check, stranger.token())


class SetClock(datetime):
    """The clock of the JWT library, set to a time."""

    seconds = 0.0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(cls.seconds, tz)


@pytest.mark.parametrize("shift", [601 + 30, 10**7, -31, -(10**7)])
async def test_a_known_token_is_refused_once_it_has_expired_or_is_of_the_future(
    issuer: Issuer, kind: str, monkeypatch: pytest.MonkeyPatch, shift: int
):
    check = verifier(issuer, kind)
    token = issuer.token()
    assert not await refused(check, token)

    SetClock.seconds = time.time() + shift
    monkeypatch.setattr(jwt.api_jwt, "datetime", SetClock)
    monkeypatch.setattr(time, "time", lambda: SetClock.seconds)

    assert await refused(check, token)


async def test_tokens_are_told_apart_however_many_are_known(issuer: Issuer, kind: str):
    check = verifier(issuer, kind)
    tokens = {f"ada-{number}": issuer.token(sub=f"ada-{number}") for number in range(1100)}
    for _ in range(2):
        for subject, token in tokens.items():
            assert (await check.verify(token)).subject == subject
    assert await refused(check, token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"))
