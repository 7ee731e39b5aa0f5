"""Ids go from tables into commands: whole, or as their beginning where one alone begins so."""

import json
import re
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

HEX = "0123456789abcdef" * 2
LISTS = {
    "/v1/jobs": ("ftjob-", ["jobs", "list"]),
    "/v1/models": ("mv-", ["models", "list"]),
    "/v1/datasets": ("ds-", ["data", "list"]),
    "/v1/files": ("file-", ["files", "list"]),
    "/v1/keys": ("key-", ["keys", "list"]),
}
"""Where things are listed: how their ids begin, and the command that shows them."""
THING = {
    **{
        "kind": "train",
        "status": "succeeded",
        "desired_state": "run",
        "spec": {},
        "counts": {},
        "bytes": 1,
    },
    **{
        "name": "kinds",
        "filename": "a.jsonl",
        "purpose": "fine-tune",
        "prefix": "mm_",
        "models": [],
    },
    **{"scopes": ["chat"], "limits": {}, "expires_at": None, "created_at": 0, "created_by": "ada"},
    **{"changed_by": "ada", "version_ids": [], "key": "secret", "provenance": [], "result": None},
    **{"same": True, "reading": {}, "columns": []},
    **{name: [] for name in ("datasets", "unshared", "removed", "languages", "labels")},
    **{name: [] for name in ("entities", "settings")},
    **{"series": [], "is_complete": True},
    **{f"rows_{name}": 0 for name in ("common", "moved")},
}
"""Whatever any of them has."""


class Gateway(ThreadingHTTPServer):
    """Has things of every sort, and gives all but models in pages of two."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ids = {
            path: [f"{begins}{digit}{HEX[1:]}" for digit in "0123"] + [f"{begins}3{HEX}"]
            for path, (begins, _) in LISTS.items()
        }
        self.ids["/v1/models"].append("kinds")
        self.asked: list[str] = []


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.asked.append(path)
        ids = self.server.ids.get(path.replace("evaluations", "jobs"))
        if ids is not None:
            after = re.search("after=([^&]*)", query)
            start = ids.index(after[1]) + 1 if after else 0
            end = len(ids) if path == "/v1/models" else start + 2
            page = [self._thing(each) for each in ids[start:end]]
            body: Any = {"data": page, "has_more": end < len(ids)}
        else:
            known = {each for ids in self.server.ids.values() for each in ids}
            if not known & {*path.split("/")}:
                error = {"error": {"message": "no such thing"}}
                return self.answer(json.dumps(error).encode(), status=404)
            body = self._thing(path.rpartition("/")[2])
        self.answer(json.dumps(body).encode())

    def do_PUT(self) -> None:
        self.answer(json.dumps(self._thing(self.path.rpartition("/")[2])).encode())

    def __getattr__(self, name: str) -> Any:
        """Whatever else is done to a thing ends well, too."""
        if name in ("do_POST", "do_PATCH", "do_DELETE"):
            return self.do_PUT
        raise AttributeError(name)

    @staticmethod
    def _thing(name: str) -> dict[str, Any]:
        return {"id": name, **THING, "data": [], "has_more": False}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as server:
        yield server


def whole(shown: str) -> str:
    """A table's text with what was folded put together again, column by column."""
    cells = [re.split("[│┃]", line)[1:-1] for line in shown.splitlines() if "│" in line]
    return "\n".join(
        "".join(cell.strip() for cell in column) for column in zip(*cells, strict=True)
    )


@pytest.mark.parametrize("columns", [None, 50, 80])
@pytest.mark.parametrize("path", LISTS)
def test_every_list_shows_every_id_whole(gateway, capsys, monkeypatch, path, columns):
    if columns:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TTY_COMPATIBLE", "1")

    assert run_app(LISTS[path][1]) == 0

    shown = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in shown
    for each in gateway.ids[path]:
        assert each in (whole(shown) if columns else shown)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["jobs", "show", "ID"], "/v1/jobs"),
        (["jobs", "cancel", "ID"], "/v1/jobs"),
        (["jobs", "pause", "ID"], "/v1/jobs"),
        (["jobs", "resume", "ID"], "/v1/jobs"),
        (["eval", "show", "ID"], "/v1/jobs"),
        (["models", "show", "ID"], "/v1/models"),
        (["models", "delete", "ID"], "/v1/models"),
        (["models", "alias", "live", "ID"], "/v1/models"),
        (["models", "alias", "live", "ID=1", "kinds=2"], "/v1/models"),
        (["models", "alias", "live", "kinds", "--shadow", "ID=0.5"], "/v1/models"),
        (["models", "alias", "live", "kinds", "--fallback", "ID"], "/v1/models"),
        (["chat", "hello", "--model", "ID"], "/v1/models"),
        (["eval", "run", "ID", "--no-wait"], "/v1/models"),
        (["eval", "run", "kinds", "--compare-to", "ID", "--no-wait"], "/v1/models"),
        (["eval", "run", "kinds", "--dataset", "ID", "--no-wait"], "/v1/datasets"),
        (["data", "explain", "ID", "7"], "/v1/datasets"),
        (["data", "compare", "ID", "ID"], "/v1/datasets"),
        (["data", "report", "ID"], "/v1/datasets"),
        (["data", "preview", "ID", "--layout", "alpaca"], "/v1/files"),
        (["keys", "show", "ID"], "/v1/keys"),
        (["keys", "limit", "ID", "--parallel", "1"], "/v1/keys"),
        (["keys", "rotate", "ID"], "/v1/keys"),
        (["keys", "revoke", "ID"], "/v1/keys"),
    ],
)
def test_every_command_takes_the_beginning_that_one_id_alone_has(
    gateway, capsys, monkeypatch, tmp_path, words, path
):
    monkeypatch.chdir(tmp_path)
    begins, _ = LISTS[path]

    def run(given: str) -> int:
        return run_app([word.replace("ID", given) for word in words])

    assert run(f"{begins}1") == 0, capsys.readouterr().err
    capsys.readouterr()
    # Two begin so, and the second goes on after the whole first one would end.
    assert run(f"{begins}3") == 2
    refused = capsys.readouterr().err
    assert f"{begins}3{HEX[1:]}, {begins}3{HEX}. Give more" in " ".join(refused.split())
    assert run(f"{begins}9") == 2
    assert "lists what there is" in capsys.readouterr().err


def test_a_name_that_people_gave_is_never_taken_for_a_beginning(gateway, capsys):
    assert run_app(["models", "delete", "kin"]) == 2

    said = capsys.readouterr().err
    assert "no model 'kin'. Did you mean 'kinds'? `mill models list` lists what there is" in said
    assert gateway.asked == ["/v1/models/kin", "/v1/models"]


@pytest.mark.parametrize(
    "words", [["data", "show", "kindz"], ["eval", "run", "kinds", "--dataset", "kindz"]]
)
def test_a_name_for_an_id_is_answered_with_the_newest_id_of_the_nearest_name(
    gateway, capsys, words
):
    assert run_app(words) == 2

    newest = gateway.ids["/v1/datasets"][0]
    meant = f"Did you mean {newest!r}, which is called 'kinds'? `mill data list` lists"
    assert f"no dataset 'kindz'. {meant}" in capsys.readouterr().err


def test_the_name_of_one_dataset_alone_stands_for_its_id(gateway, capsys, monkeypatch):
    monkeypatch.setitem(THING, "name", "tickets")
    gateway.ids["/v1/datasets"] = [only] = [f"ds-1{HEX[1:]}"]

    assert run_app(["data", "show", "tickets"]) == 0, capsys.readouterr().err
    assert f"/v1/datasets/{only}" in gateway.asked


def test_a_name_that_several_datasets_have_is_answered_with_their_ids(gateway, capsys, monkeypatch):
    monkeypatch.setitem(THING, "name", "tickets")

    assert run_app(["data", "show", "tickets"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    ids = ", ".join(gateway.ids["/v1/datasets"])
    assert f"several are called 'tickets': {ids}. Give the id; the newest stands first" in said


def test_only_datasets_are_found_by_a_name(gateway, capsys, monkeypatch):
    monkeypatch.setitem(THING, "name", "tickets")

    assert run_app(["jobs", "show", "tickets"]) == 2
    assert "no job 'tickets'" in capsys.readouterr().err


def test_an_id_that_others_go_on_after_is_that_id(gateway, capsys):
    gateway.ids["/v1/jobs"] = ["ftjob-1", "ftjob-12"]

    assert run_app(["jobs", "show", "ftjob-1"]) == 0


def test_the_jobs_beyond_the_newest_are_told_of(gateway, capsys):
    assert run_app(["jobs", "list", "--last", "2"]) == 0

    out, err = capsys.readouterr()
    assert out.count("ftjob-") == 2
    assert "--last" in err
