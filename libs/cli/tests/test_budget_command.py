"""`mill budget`: limits that are not named stay."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app


class Gateway(ThreadingHTTPServer):
    """Has a budget."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.limits: dict[str, Any] = dict.fromkeys(
            ("requests_per_minute", "tokens_per_minute", "parallel_requests")
        )
        self.limits |= {"tokens": 1000, "money": None, "period": "month"}


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        usage = {"tokens": 77, "money": "0", "leased_tokens": 5, "leased_money": "0"}
        shown = {"limits": self.server.limits, "usage": usage | {"period_start": 1}}
        self.answer(json.dumps(shown | {"changed_by": "ops"}).encode())

    def do_PUT(self) -> None:
        length = int(self.headers["content-length"])
        said = json.loads(self.rfile.read(length))["limits"]
        self.server.limits = dict.fromkeys(self.server.limits) | said
        self.do_GET()


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as serving:
        yield serving


def test_limits_and_what_is_used_of_them_are_shown(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["budget", "show"]) == 0

    shown = capsys.readouterr().out
    assert "tokens a month" in shown
    assert all(figure in shown for figure in ("1000", "77", "none"))


def test_limits_that_are_not_named_stay(gateway: Gateway):
    assert run_app(["budget", "set", "--requests-per-minute", "60"]) == 0

    assert gateway.limits["requests_per_minute"] == 60
    assert gateway.limits["tokens"] == 1000


def test_it_is_said_which_limit_or_none(gateway: Gateway):
    assert run_app(["budget", "set"]) == 2
    assert run_app(["budget", "set", "--none"]) == 0
    assert not any(gateway.limits.values())
