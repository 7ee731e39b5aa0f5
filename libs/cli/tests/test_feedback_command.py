"""`mill feedback`: what is said of an answer, in the fields of the API."""

import io
import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

REQUEST = "req-0b8f"
RIGHT = "It arrives tomorrow.\nBefore noon."


class Gateway(ThreadingHTTPServer):
    """Keeps what it is told, of one request alone."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: list[dict[str, Any]] = []


class _Handler(Handler):
    server: Gateway

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/feedback" or body["request_id"] != REQUEST:
            error = {"message": "request_id: no request of this tenant. Use the x-request-id"}
            self.answer(json.dumps({"error": error}).encode(), 404)
            return
        self.server.told.append(body)
        made = {"id": "fb-1\x1b[2J", "object": "feedback", "created_at": 1_795_392_000}
        self.answer(json.dumps(made | {"request_id": REQUEST}).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as serving:
        yield serving


def test_rating_reason_and_correction_are_sent_together(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    said = ["--rating", "bad", "--reason", "wrong day", "--correction", RIGHT]
    assert run_app(["feedback", REQUEST, *said]) == 0

    whole = {"request_id": REQUEST, "score": -1.0, "comment": "wrong day", "correction": RIGHT}
    assert gateway.told == [whole]
    out = capsys.readouterr().out
    assert "fb-1" in out
    assert "2026-11-23 00:00 UTC" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (["--rating", "good"], {"score": 1.0}),
        (["--completed"], {"completed": True}),
        (["--not-completed"], {"completed": False}),
        (["--reason", "polite"], {"comment": "polite"}),
        (["--correction", RIGHT], {"correction": RIGHT}),
    ],
)
def test_what_is_not_said_is_not_sent(gateway: Gateway, said: list[str], field: dict[str, Any]):
    assert run_app(["feedback", REQUEST, *said]) == 0
    assert gateway.told == [{"request_id": REQUEST} | field]


def test_a_long_correction_comes_from_stdin(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    stdin = io.TextIOWrapper(io.BytesIO(f"{RIGHT}\n".encode()), "utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    assert run_app(["feedback", REQUEST, "--correction", "-"]) == 0
    assert gateway.told == [{"request_id": REQUEST, "correction": RIGHT}]


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ([], "say --rating good"),
        (["--rating", "fine"], "'good', 'bad'"),
        (["--correction", "-"], "stdin has no correction"),
    ],
)
def test_nothing_is_sent_where_nothing_is_said(
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: list[str],
    remedy: str,
):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" \n"), "utf-8"))
    assert run_app(["feedback", REQUEST, *said]) == 2
    assert remedy in capsys.readouterr().err
    assert gateway.told == []


def test_a_request_that_is_not_known_is_refused_in_one_line(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["feedback", "req-other", "--rating", "good"]) == 2
    assert "no request of this tenant" in capsys.readouterr().err
    assert gateway.told == []


def test_programs_get_the_record(gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    assert run_app(["feedback", REQUEST, "--rating", "good", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["object"], made["request_id"]) == ("feedback", REQUEST)
