"""`mill keys show`: what a key may do, and what is used of it."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

KEY: dict[str, Any] = {
    "id": "key-1",
    "name": "bot",
    "prefix": "mm-Wq3xT0a",
    "status": "active",
    "scopes": ["chat"],
    "models": [],
    "limits": {"tokens": 1000, "money": None, "period": "month"},
    "expires_at": None,
    "created_at": 1_793_500_000,
    "created_by": "ada",
    "changed_by": "ada",
}
USAGE = {
    "tokens": 77,
    "money": "0.5",
    "leased_tokens": 5,
    "leased_money": "0",
    "period_start": 1_793_491_200,
}


class Gateway(ThreadingHTTPServer):
    """Has one key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.usage: dict[str, Any] | None = USAGE


class _Handler(Handler):
    server: Gateway

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(json.dumps(KEY | {"key": "mm-secret"}).encode())

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            models = [{"id": "default"}, {"id": "mv-1", "name": "kinds"}]
            self.answer(json.dumps({"data": models}).encode())
            return
        self.answer(json.dumps(KEY | {"usage": self.server.usage}).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("COLUMNS", "200")
    with told_of(Gateway(), monkeypatch) as serving:
        yield serving


def test_what_is_used_of_a_keys_limits_is_shown_with_them(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["keys", "show", "key-1"]) == 0

    shown = capsys.readouterr().out
    assert "tokens 1000" in shown
    assert "77 tokens, 0.5 money since 2026-11-01" in shown
    assert "5 tokens and 0 money on top" in shown


def test_of_a_key_without_limits_no_use_is_shown(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    gateway.usage = None
    assert run_app(["keys", "show", "key-1"]) == 0
    assert "used" not in capsys.readouterr().out


def test_a_key_for_a_model_that_there_is_not_is_made_with_a_warning(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    models = ("--model", "kinds", "--model", "default", "--model", "mv-1", "--model", "knids")
    assert run_app(["keys", "create", "bot", "--quiet", *models]) == 0

    shown = capsys.readouterr()
    assert shown.out == "mm-secret\n"
    assert shown.err == (
        "warning: no model is called knids now. `mill models list` shows what there is\n"
    )
