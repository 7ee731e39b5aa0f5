"""Tokens verify against the JWKS of the same folder, and say who, whose and what."""

import json
from datetime import timedelta

import jwt
import pytest
from cli.keys import AUDIENCE, ISSUER, LocalKeys


@pytest.fixture
def keys(tmp_path):
    keys = LocalKeys(tmp_path)
    keys.ensure()
    return keys


def verify(keys: LocalKeys, token: str) -> dict:
    jwks = jwt.PyJWKSet.from_dict(json.loads(keys.jwks_file.read_text()))
    key = jwks[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key.key, algorithms=["EdDSA"], issuer=ISSUER, audience=AUDIENCE)


def test_a_token_verifies_and_carries_tenant_and_scopes(keys):
    token = keys.issue(subject="ann", tenant="acme", scopes=("chat",), life=timedelta(minutes=5))
    claims = verify(keys, token)
    assert (claims["sub"], claims["tenant"], claims["scope"]) == ("ann", "acme", "chat")


def test_the_key_stays_the_same_over_starts(keys, tmp_path):
    token = keys.issue(subject="ann", tenant="acme", scopes=(), life=timedelta(minutes=5))
    again = LocalKeys(tmp_path)
    again.ensure()
    assert verify(again, token)["sub"] == "ann"


def test_the_jwks_holds_no_private_part(keys):
    (key,) = json.loads(keys.jwks_file.read_text())["keys"]
    assert "d" not in key
