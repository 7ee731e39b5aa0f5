"""`mill audit`: the latest changes, over pages of the API."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

PAGE = 2


def change(number: int) -> dict[str, Any]:
    return {
        "id": f"change-{number}",
        "object": "audit.change",
        "at": 1_795_392_000,
        "subject": "ada\x1b[2J",
        "key_id": None,
        "route": "revoke_key",
        "object_id": f"key-{number}",
        "request_id": f"req-{number}",
    }


class _Handler(Handler):
    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        begin = int(query["after"][0].removeprefix("change-")) + 1 if "after" in query else 0
        data = [change(number) for number in range(begin, begin + PAGE)]
        page = {"data": data, "has_more": True, "last_id": data[-1]["id"]}
        self.answer(json.dumps(page).encode())


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One with changes without end."""
    with told_of(ThreadingHTTPServer(("127.0.0.1", 0), _Handler), monkeypatch):
        yield


def test_the_latest_changes_are_listed_and_nothing_in_them_moves_the_cursor(
    capsys: pytest.CaptureFixture[str],
):
    assert run_app(["audit", "--last", "5"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()

    assert head.split() == ["at", "by", "key", "change", "object", "request"]
    assert [line.split()[-2:] for line in lines] == [[f"key-{n}", f"req-{n}"] for n in range(5)]
    assert "\x1b" not in "".join(lines)


def test_programs_get_a_record_a_line(capsys: pytest.CaptureFixture[str]):
    assert run_app(["audit", "--last", "3", "--json"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [change(number) for number in range(3)]
