"""`mill whoami`: whom the credential names, in words."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

KEY: dict[str, Any] = {
    "object": "caller",
    "tenant": "acme",
    "subject": "key-6f0d2a\x1b[2J",
    "scopes": ["chat", "usage"],
    "models": ["wordnet"],
    "key_id": "key-6f0d2a",
    "expires_at": 1_795_392_000,
}
TOKEN: dict[str, Any] = KEY | {"scopes": [], "models": [], "key_id": None, "expires_at": None}


class _Handler(Handler):
    shown = KEY

    def do_GET(self) -> None:
        self.answer(json.dumps(self.shown if self.path == "/v1/me" else {}).encode())


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with told_of(ThreadingHTTPServer(("127.0.0.1", 0), _Handler), monkeypatch):
        yield


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert run_app(["whoami"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    cells = [line.split("  ", 1) for line in map(str.strip, out.splitlines())]
    return {name: value.strip() for name, value in cells}


def test_a_key_is_told_with_its_scopes_models_and_end(capsys: pytest.CaptureFixture[str]):
    found = told(capsys)

    assert (found["tenant"], found["API key"]) == ("acme", "key-6f0d2a")
    assert (found["scopes"], found["models"]) == ("chat usage", "wordnet")
    assert found["expires"] == "2026-11-23 00:00 UTC"


def test_a_token_that_grants_nothing_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_Handler, "shown", TOKEN)
    found = told(capsys)

    assert (found["API key"], found["scopes"]) == ("none, a token", "none")
    assert (found["models"], found["expires"]) == ("all", "never")


def test_programs_get_the_gateways_answer(capsys: pytest.CaptureFixture[str]):
    assert run_app(["whoami", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == KEY
