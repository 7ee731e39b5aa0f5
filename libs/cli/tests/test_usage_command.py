"""`mill usage`: pages of buckets as one table."""

import json
import re
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

DAY = 86400
MONDAY = 1_795_392_000


def result(model: str | None, requests: int) -> dict[str, Any]:
    return {
        "num_model_requests": requests,
        "input_tokens": 1_234_567,
        "output_tokens": 20,
        "cost_micros": 2_500_001,
        "num_failed_requests": 1,
        "num_timed_requests": requests if model else 0,
        "first_token_seconds": 0.25 * requests,
        "generation_seconds": 2.0 if model else 0.0,
        "generated_tokens": 19 if model else 0,
        **{"model": model, "api_key_id": "key-1\x1b[2J", "user_id": None},
    }


class Gateway(ThreadingHTTPServer):
    """Two pages."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, list[str]]] = []


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.server.asked.append(query)
        second = "page" in query
        begin = MONDAY + DAY * second
        results = [result("mv-b", 3), result(None, 4)] if second else [result("mv-a", 2)]
        bucket = {"start_time": begin, "end_time": begin + DAY, "results": results}
        page = {"data": [bucket], "has_more": not second}
        page["next_page"] = None if second else "page_2"
        self.answer(json.dumps(page).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as serving:
        yield serving


def test_every_page_is_in_the_table_and_nothing_in_it_moves_the_cursor(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["usage", "--by", "model", "--by", "key", "--last", "40"]) == 0
    said = capsys.readouterr().out

    assert "\x1b" not in said
    _, *rows = [re.split(" {2,}", line.strip()) for line in said.splitlines()]
    assert [row[1:] for row in rows] == [
        ["mv-a", "key-1\\u001b[2J", "2", "1", "1,234,567", "20", "0.250 s", "9.5", "2.500001"],
        ["mv-b", "key-1\\u001b[2J", "3", "1", "1,234,567", "20", "0.250 s", "9.5", "2.500001"],
        ["-", "key-1\\u001b[2J", "4", "1", "1,234,567", "20", "-", "-", "2.500001"],
    ]
    first, second = gateway.asked
    assert first == {"group_by": ["model", "api_key_id"], "last": ["40"]}
    assert second == first | {"page": ["page_2"]}


def test_what_is_not_given_is_left_to_the_gateway(gateway: Gateway):
    assert run_app(["usage"]) == 0
    assert gateway.asked == [{}, {"page": ["page_2"]}]


def test_what_is_no_group_is_refused(gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    assert run_app(["usage", "--by", "colour"]) == 2
    assert "model, key, caller" in capsys.readouterr().err
    assert gateway.asked == []
