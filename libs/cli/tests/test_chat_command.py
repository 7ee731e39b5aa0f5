"""`mill chat`: an answer as it streams, and why the policy ended it."""

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app


def chunk(**fields: Any) -> dict[str, Any]:
    """A chunk of a stream, as the gateway sends it."""
    common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "default"}
    return {**common, "choices": [], **fields}


def said(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return chunk(choices=[choice])


def verdict(*rules: str) -> dict[str, Any]:
    """The chunk that says why; of the input nothing matched."""

    def side(named: tuple[str, ...]) -> dict[str, Any]:
        result = {
            **{"type": "moderation_result", "model": "sha256:1", "flagged": bool(named)},
            **{"categories": {}, "category_scores": {}, "category_applied_input_types": {}},
            "rules": [{"id": rule, "category": "illicit"} for rule in named],
        }
        return {"type": "moderation_results", "model": "sha256:1", "results": [result]}

    return {**said(""), "moderation": {"input": side(()), "output": side(rules)}}


class Gateway(ThreadingHTTPServer):
    """Streams what it is told to."""

    daemon_threads = True
    chunks: list[dict[str, Any]]
    refusal = ""
    request_id = ""
    """In the head of each answer, where there is one."""
    cut = False
    """Whether answers end before their length."""
    loading: dict[str, Any] | None = None
    """Of the model; no answer comes before somebody was told."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.looks = threading.Semaphore(0)


class _Handler(Handler):
    server: Gateway

    def end_headers(self) -> None:
        if self.server.request_id:
            self.send_header("x-request-id", self.server.request_id)
        super().end_headers()

    def do_GET(self) -> None:
        assert self.path == "/v1/models/default"
        self.answer(json.dumps({"id": "default", "loading": self.server.loading}).encode())
        self.server.looks.release()

    def do_POST(self) -> None:
        if self.server.loading is not None:
            # Before the second look what the first had seen was told.
            assert self.server.looks.acquire(timeout=20)
            assert self.server.looks.acquire(timeout=20)
        self.rfile.read(int(self.headers["content-length"]))
        if self.server.refusal:
            error = {"error": {"message": self.server.refusal}}
            self.answer(json.dumps(error).encode(), 404)
            return
        events = [f"data: {json.dumps(each)}\n\n" for each in self.server.chunks]
        if self.server.cut:
            self.send_response(200)
            self.send_header("content-length", "9999")
            self.end_headers()
            self.wfile.write("".join(events).encode())
        else:
            self.answer("".join([*events, "data: [DONE]\n\n"]).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(("127.0.0.1", 0), _Handler), monkeypatch) as server:
        yield server


def test_an_answer_that_the_policy_ended_says_by_which_rules(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.chunks = [
        *(said("eat the "), verdict("no-fruit\x1b[2J", "[b]odd"), said("", "content_filter"))
    ]
    assert run_app(["chat", "hello"]) == 0

    shown = capsys.readouterr().out
    assert shown.startswith("eat the \n")
    assert "the policy ended it: no-fruit" in shown
    assert ", [b]odd (illicit)" in shown
    assert "\x1b[2J" not in shown


def test_a_model_before_the_prompt_is_answered_with_where_it_belongs(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["chat", "wordnet", "a small bird"]) == 2
    assert "the model is --model NAME" in capsys.readouterr().err


def test_an_answer_that_came_to_its_end_says_nothing_beside_it(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.chunks = [said("Hello, "), said("world", "stop")]
    assert run_app(["chat", "hello"]) == 0
    assert capsys.readouterr().out == "Hello, world\n"


def test_feedback_is_named_beside_each_answer_and_never_on_stdout(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.chunks = [said("Hello", "stop")]
    gateway.request_id = f"req-{'0b8f' * 30}[b]"
    assert run_app(["chat", "hello"]) == 0

    shown = capsys.readouterr()
    assert shown.out == "Hello\n"
    assert shown.err == f"mill feedback {gateway.request_id}\n"


def test_without_a_request_id_nobody_is_asked_for_feedback(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.chunks = [said("Hello", "stop")]
    assert run_app(["chat", "hello"]) == 0
    assert capsys.readouterr().err == ""


def test_a_refusal_is_what_the_gateway_said_and_nothing_around_it(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.refusal = "2 models are served and none is the default"
    assert run_app(["chat", "hello"]) == 2
    assert capsys.readouterr().err == "mill: 2 models are served and none is the default\n"


@pytest.mark.parametrize("ended", ["told", "cut"])
def test_an_answer_that_breaks_off_ends_with_one_line(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], ended: str
) -> None:
    gateway.chunks = [said("Hello, ")]
    if ended == "told":
        gateway.chunks += [{"error": {"message": "inference did not answer in time"}}]
    else:
        gateway.cut = True

    assert run_app(["chat", "hello"]) == 2

    shown = capsys.readouterr()
    assert shown.out == "Hello, \n"
    (line,) = shown.err.splitlines()
    assert ("did not answer in time" if ended == "told" else "was lost") in line


def test_who_waits_for_a_model_that_is_loaded_sees_how_far_it_is(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelmill_cli.commands.chat.LOOK_SECONDS", 0.01)
    gateway.chunks = [said("Hello", "stop")]
    gateway.loading = {"elapsed_seconds": 12.4, "remaining_seconds": 20.0}

    assert run_app(["chat", "hello"]) == 0

    shown = capsys.readouterr()
    assert shown.out == "Hello\n"
    assert shown.err.splitlines()[0] == "loading… 12 s so far, about 20 s left"
