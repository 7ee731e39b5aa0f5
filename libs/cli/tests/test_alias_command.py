"""`mill models alias`: one version, or several with their weights."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app


class Gateway(ThreadingHTTPServer):
    """Hears what names shall mean."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[tuple[str, dict[str, Any]]] = []


class _Handler(Handler):
    server: Gateway

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.heard.append((self.path, body))
        self.answer(b"{}")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as serving:
        yield serving


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["mv-a"], {"version_id": "mv-a"}),
        (
            ["kinds=90", "mv-b=10", "--shadow", "mv-c", "--fallback", "d", "--fallback", "e"],
            {
                "variants": [
                    {"name": "kinds", "version_id": "kinds", "weight": 90},
                    {"name": "mv-b", "version_id": "mv-b", "weight": 10},
                ],
                "shadow": {"version_id": "mv-c", "share": 1},
                "fallback": ["d", "e"],
            },
        ),
        (
            ["mv-a", "--shadow", "mv-c=0.1"],
            {"version_id": "mv-a", "shadow": {"version_id": "mv-c", "share": 0.1}},
        ),
    ],
)
def test_a_name_means_what_is_said(gateway: Gateway, words: list[str], body: dict[str, Any]):
    assert run_app(["models", "alias", "best", *words]) == 0
    assert gateway.heard == [("/v1/aliases/best", body)]


@pytest.mark.parametrize("words", [["a", "b"], ["a=90", "b"], ["a=much"], ["a", "--shadow", "b=x"]])
def test_versions_without_a_weight_are_refused_before_anything_moves(
    gateway: Gateway, words: list[str]
):
    assert run_app(["models", "alias", "best", *words]) == 2
    assert gateway.heard == []
