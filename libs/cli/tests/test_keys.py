"""Tokens verify against the JWKS of the same folder, and say who, whose and what."""

import json
from datetime import timedelta

import jwt
import pytest
from modelmill_cli.app import run_app
from modelmill_cli.keys import AUDIENCE, ISSUER, LocalKeys


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


def test_the_key_of_webhooks_stays_the_same_and_is_its_owners_alone(keys, tmp_path):
    key = keys.webhook_key_file().read_text()

    assert LocalKeys(tmp_path).webhook_key_file().read_text() == key
    assert len(key) >= 32
    assert (tmp_path / "webhook.key").stat().st_mode & 0o777 == 0o600


def test_the_jwks_holds_no_private_part(keys):
    (key,) = json.loads(keys.jwks_file.read_text())["keys"]
    assert "d" not in key


def test_keys_for_another_machine_sign_tokens_and_are_never_overwritten(tmp_path, capsys):
    folder = tmp_path / "keys"
    assert run_app(["keys", "new", str(folder)]) == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"signing-key.pem": 0o600, "jwks.json": 0o644}
    capsys.readouterr()
    assert run_app(["token", "--keys", str(folder), "--tenant", "acme"]) == 0
    token = capsys.readouterr().out.strip()
    before = (folder / "signing-key.pem").read_bytes()

    assert run_app(["keys", "new", str(folder)]) == 2
    assert "signing-key.pem is there already" in capsys.readouterr().err
    assert (folder / "signing-key.pem").read_bytes() == before
    assert verify(LocalKeys(folder), token)["tenant"] == "acme"


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\n!\n"])
def test_a_folder_without_a_usable_key_is_one_line(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "signing-key.pem").write_bytes(content)
    assert run_app(["token", "--keys", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "signing-key.pem") in line


def test_a_scope_that_there_is_not_is_refused_with_those_there_are(tmp_path, capsys):
    folder = tmp_path / "keys"
    assert run_app(["keys", "new", str(folder)]) == 0
    capsys.readouterr()

    assert run_app(["token", "--keys", str(folder), "--scope", "cht"]) == 2
    assert "no scope 'cht'. Did you mean 'chat'? There are chat, " in capsys.readouterr().err
