"""`mill data`: what a person reads of datasets and their rows in a terminal."""

import hashlib
import json
import re
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

ROW = {
    "messages": [
        {"role": "user", "content": "Is [bold]7[/bold] a number?"},
        {"role": "assistant", "content": "yes\nit is"},
    ],
    "row": 7,
}
KEPT = {
    "line": 7,
    "file_id": "file-1",
    "source_sha256": "9f2c",
    "outcome": "kept",
    "rule": None,
    "detail": None,
    "changes": ["unicode@1", "spaces@1"],
    "made_by": None,
    "split": "train",
    "position": 1234,
    "row": ROW,
}
GONE = {"split": None, "position": None, "row": None, "changes": []}
DROPPED = {
    **KEPT,
    **GONE,
    "outcome": "dropped",
    "rule": "filter.characters.min",
    "detail": "4 < 20",
}
LENGTHS = {"p5": 4, "p25": 9, "p50": 14, "p75": 21, "p95": 1234}


def dataset(dataset_id: str) -> dict[str, Any]:
    """A dataset of two files, one of which was deleted since."""
    return {"id": dataset_id, "file_ids": ["file-1", "file-gone"], "counts": {}}


def side(dataset_id: str, rows: int, unshared: int) -> dict[str, Any]:
    """A dataset as a comparison has it."""
    return {
        "id": dataset_id,
        "name": f"[{dataset_id}]",
        "digest": "sha256:5",
        "rows": rows,
        "rows_unshared": unshared,
        "tokens": LENGTHS,
        "characters": LENGTHS,
        "rows_measured": min(rows, 20_000),
    }


COMPARISON = {
    "same": False,
    "rows_common": 12345,
    "rows_moved": 3,
    "datasets": [side("ds-1", 12400, 55), side("ds-2", 12345, 0)],
    "counts": [{"name": "train", "values": [10000, 9000]}],
    "unshared": [{"name": "dropped filter.characters.min", "values": [55, 0]}],
    "removed": [{"name": "dropped filter.characters.min", "values": [0, 55]}],
    "languages": [{"name": "en", "values": [6200, 0]}],
    "labels": [{"name": "plant", "values": [124, 12345]}],
    "entities": [],
    "settings": [
        {"path": "filter.preset", "differs": True, "values": [None, "standard"]},
        {"path": "mapping.layout", "differs": False, "values": ["text", "text"]},
    ],
}
ALONE = {"id": "row-1", "because": "changed", "row": ROW, "other_row": {**ROW, "row": 9}}
PAGE = b"<!doctype html>" + b"x" * 300_000


class Gateway(ThreadingHTTPServer):
    """Answers by path, and remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.uploaded = b""
        self.deleted: list[str] = []
        self.answers: dict[str, Any] = {
            **{f"/v1/datasets/{each}": dataset(each) for each in ("ds-1", "ds-2")},
            "/v1/me": {"tenant": "acme"},
            "/v1/files/file-1": {"id": "file-1", "filename": "a.csv", "sha256": "9f", "bytes": 7},
            "/v1/datasets": {"data": [dataset("ds-1"), dataset("ds-2")], "has_more": False},
            "/v1/models": {"data": [{"id": f"mv-{n}", "dataset_id": "ds-1"} for n in range(7)]},
            "/v1/datasets/ds-1/rows/7": {"provenance": [KEPT]},
            "/v1/datasets/ds-1/report": PAGE,
            "/v1/datasets/ds-1/comparison/ds-2": COMPARISON,
            "/v1/datasets/ds-1/comparison/ds-2/rows": {"data": [ALONE], "has_more": False},
            "/v1/datasets/ds-2/comparison/ds-1/rows": {"data": [], "has_more": False},
        }


class _Handler(Handler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/files":
            self.server.uploaded = body
        else:
            self.server.sent.append(json.loads(body))
        self.do_GET()

    def do_DELETE(self) -> None:
        self.server.deleted.append(self.path)
        self.answer(b'{"deleted": true}')

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path.partition("?")[0])
        error = {"error": {"message": "no such dataset"}}
        body = answer if isinstance(answer, bytes) else json.dumps(answer or error).encode()
        self.answer(body, 404 if answer is None else 200)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as server:
        yield server


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_app(["data", *words]) == 0
    return capsys.readouterr().out


def test_a_row_that_was_kept_tells_where_it_is_what_changed_it_and_what_it_says(gateway, capsys):
    assert said(capsys, "explain", "ds-1", "7").splitlines() == [
        "line 7: kept in train at 1,234",
        "  file          file-1",
        "  source sha256 9f2c",
        "  changed by    unicode@1, spaces@1",
        r"  says          user: Is [bold]7[/bold] a number? | assistant: yes\nit is",
    ]


@pytest.mark.parametrize(
    ("named", "file_id"), [("file-1", "file-1"), ("a.csv", "file-1"), ("file-g", "file-gone")]
)
def test_of_several_files_the_line_is_of_the_one_that_is_named(gateway, capsys, named, file_id):
    said(capsys, "explain", "ds-1", "7", "--file", named)

    assert gateway.asked[-1] == f"/v1/datasets/ds-1/rows/7?file_id={file_id}"


def test_a_dataset_names_the_models_that_were_trained_on_it(gateway, capsys):
    assert "mv-0" in said(capsys, "show", "ds-1")
    assert re.search(r"models trained on it +none", said(capsys, "show", "ds-2"))


def test_a_file_that_the_dataset_is_not_made_of_is_answered_with_its_files(gateway, capsys):
    assert run_app(["data", "explain", "ds-1", "7", "--file", "b.csv"]) == 2

    assert capsys.readouterr().err.split("mill: ")[1] == (
        "ds-1 has no file 'b.csv'. It is made of file-1 (a.csv), file-gone (deleted)\n"
    )


def test_a_deletion_names_what_still_holds_the_rows(gateway, capsys):
    assert run_app(["files", "delete", "file-1"]) == 0
    assert capsys.readouterr().out == (
        "file-1: deleted. Datasets made of it are still there: ds-1, ds-2 (`mill data delete`)\n"
    )
    assert said(capsys, "delete", "ds-1") == (
        "ds-1: deleted. Models trained on it are still there: mv-0, mv-1, mv-2, mv-3, mv-4 and"
        " 2 more (`mill models delete`)\n"
    )
    assert said(capsys, "delete", "ds-2") == "ds-2: deleted\n"
    assert gateway.deleted == ["/v1/files/file-1", "/v1/datasets/ds-1", "/v1/datasets/ds-2"]


def test_a_file_is_deleted_by_its_name_if_no_other_has_it(gateway, capsys):
    stored = [{"id": f"file-{n}", "filename": name} for n, name in enumerate(["b", "a", "b"])]
    gateway.answers["/v1/files"] = {"data": stored, "has_more": False}

    assert run_app(["files", "delete", "a"]) == 0
    assert run_app(["files", "delete", "b"]) == 2
    assert "several are called 'b': file-0, file-2" in capsys.readouterr().err
    assert gateway.deleted == ["/v1/files/file-1"]


def test_personal_data_is_an_option_of_a_new_dataset_and_single_types_stand_above_it(gateway):
    gateway.answers["/v1/datasets"] = {"id": "ds-1", "job_id": "job-1"}
    words = ["--layout", "text", "--personal-data", "mask", "--no-wait"]

    assert run_app(["data", "create", "file-1", *words, "--set", "entities.actions.ip=keep"]) == 0

    assert gateway.sent[-1]["entities"] == {"actions": {"*": "mask", "ip": "keep"}}


def test_a_row_that_was_dropped_tells_by_which_rule_and_why(gateway, capsys):
    gateway.answers["/v1/datasets/ds-1/rows/7"] = {"provenance": [DROPPED]}

    assert said(capsys, "explain", "ds-1", "7").splitlines() == [
        "line 7: dropped",
        "  file          file-1",
        "  source sha256 9f2c",
        "  rule          filter.characters.min",
        "  because       4 < 20",
    ]


def test_a_preview_tells_how_the_file_is_read_and_what_becomes_of_its_rows(gateway, capsys):
    gateway.answers["/v1/datasets/preview"] = {
        "columns": ["q", "a"],
        "reading": {"encoding": "gb18030", "delimiter": "\t"},
        "data": [
            {"line": 2, "row": ROW, "reason": None, "changes": []},
            {"line": 3, "row": None, "reason": "read.fewer_fields: fewer", "changes": []},
        ],
    }

    shown = said(capsys, "preview", "file-1", "--layout", "alpaca", "--delimiter", ";")

    lines = shown.splitlines()
    assert lines[:3] == ["encoding   gb18030", "delimiter  tab", "columns    q, a"]
    assert lines[3].startswith("line 2: user: Is [bold]7[/bold]")
    assert lines[4] == "line 3: (read.fewer_fields: fewer)"
    (sent,) = gateway.sent
    assert (sent["file_id"], sent["reading"]["delimiter"]) == ("file-1", ";")


def test_a_file_of_this_machine_is_uploaded_to_be_previewed(gateway, capsys, tmp_path):
    (tmp_path / "rows.csv").write_text("q,a\n1,2\n")
    gateway.answers["/v1/files"] = {"id": "file-9", "data": [], "has_more": False}
    gateway.answers["/v1/datasets/preview"] = {"columns": [], "reading": {}, "data": []}

    shown = said(capsys, "preview", str(tmp_path / "rows.csv"), "--layout", "alpaca")

    assert shown.splitlines()[0] == "file       file-9"
    assert b"q,a\n1,2\n" in gateway.uploaded
    assert gateway.sent[-1]["file_id"] == "file-9"


def test_a_file_whose_preview_is_refused_is_named_so_that_it_is_sent_once(
    gateway, capsys, tmp_path
):
    (tmp_path / "rows.csv").write_text("q,a\n1,2\n")
    gateway.answers["/v1/files"] = {"id": "file-9", "data": [], "has_more": False}
    words = ["preview", str(tmp_path / "rows.csv"), "--user", "{quest}", "--answer", "{a}"]

    assert run_app(["data", *words]) == 2  # the gateway knows no preview
    assert capsys.readouterr().out == "file       file-9\n"


def test_a_file_that_is_stored_by_its_name_and_content_is_not_sent_again(gateway, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("q,a\n1,2\n")
    stored = {"filename": "rows.csv", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    gateway.answers["/v1/files"] = {
        "id": "file-9",
        "data": [
            {**stored, "id": "file-6", "filename": "other.csv"},
            {**stored, "id": "file-7", "sha256": "5f"},
            {**stored, "id": "file-8"},
        ],
        "has_more": False,
    }
    words = ["create", str(file), "--layout", "text", "--no-wait"]
    gateway.answers["/v1/datasets"] = {"id": "ds-1", "job_id": "job-1"}

    assert run_app(["data", *words]) == 0
    assert gateway.sent[-1]["file_id"] == "file-8"
    assert gateway.uploaded == b""

    file.write_text("q,a\n1,3\n")
    assert run_app(["data", *words]) == 0
    assert gateway.sent[-1]["file_id"] == "file-9"
    assert b"1,3" in gateway.uploaded


def test_what_is_neither_a_file_here_nor_an_id_is_said_so(gateway, capsys, tmp_path):
    missing = str(tmp_path / "rows.csv")
    assert run_app(["data", "preview", missing, "--layout", "alpaca"]) == 2

    assert "`mill files list` lists" in capsys.readouterr().err
    assert not gateway.sent


def test_a_preview_without_a_mapping_tells_the_one_that_is_proposed(gateway, capsys):
    mapping = {"layout": None, "user_template": "{q}", "answer_template": "{a}"}
    gateway.answers["/v1/datasets/preview"] = {
        **{"columns": ["q", "a"], "reading": {}, "data": []},
        "mapping": mapping,
    }

    lines = said(capsys, "preview", "file-1").splitlines()

    assert lines[1:] == ["proposed user_template {q}", "proposed answer_template {a}"]
    assert gateway.sent[-1].get("mapping") is None


@pytest.mark.parametrize("given", [("--user", "{q}"), ("--answer", "{a}")])
def test_a_preview_without_templates_names_the_options_that_it_lacks(gateway, capsys, given):
    assert run_app(["data", "preview", "file-1", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--user" in line
    assert "--layout" in line
    assert not gateway.sent


def test_rows_that_were_made_from_a_row_follow_it(gateway, capsys):
    made = {**KEPT, "made_by": "synonyms@1", "position": 5}
    gateway.answers["/v1/datasets/ds-1/rows/7"] = {"provenance": [KEPT, made]}

    heads = [line for line in said(capsys, "explain", "ds-1", "7").splitlines() if line[0] != " "]
    assert heads == [
        "line 7: kept in train at 1,234",
        "line 7 (made by synonyms@1): kept in train at 5",
    ]


def test_what_a_row_says_cannot_steer_the_terminal(gateway, capsys):
    hostile = "\x1b[2J\x9b31m\u202egnihton\r[red]x[/red]"
    row = {"messages": [{"role": "user", "content": hostile}], "row": 7}
    entry = {**KEPT, "outcome": "quarantined", "rule": "read.x", "detail": hostile, "row": row}
    gateway.answers["/v1/datasets/ds-1/rows/7"] = {"provenance": [entry]}
    alone = {**ALONE, "row": row, "other_row": row}
    gateway.answers["/v1/datasets/ds-1/comparison/ds-2/rows"]["data"] = [alone]

    for words in (("explain", "ds-1", "7"), ("compare", "ds-1", "ds-2")):
        shown = said(capsys, *words)
        assert not set("\x1b\x9b\u202e\r") & set(shown)
        assert shown.count("[red]x[/red]") == 2
        as_json = said(capsys, *words, "--json")
        assert not set("\x1b\x9b\u202e\r") & set(as_json)
        assert repr(hostile) in repr(json.loads(as_json))


def test_a_long_row_is_cut(gateway, capsys):
    long = {"messages": [{"role": "user", "content": "word " * 1000}], "row": 7}
    gateway.answers["/v1/datasets/ds-1/rows/7"] = {"provenance": [{**KEPT, "row": long}]}

    last = said(capsys, "explain", "ds-1", "7").splitlines()[-1]
    assert last.endswith("…")
    assert len(last) == 16 + 200


def test_datasets_are_compared_side_by_side_and_with_all_by_every_setting(gateway, capsys):
    shown = said(capsys, "compare", "ds-1", "ds-2", "--rows", "3")

    lines = [tuple(line.split()) for line in shown.splitlines()]
    assert ("rows", "12,400", "12,345") in lines
    assert ("in", "both", "12,345", "12,345") in lines
    assert ("dropped", "filter.characters.min", "55", "0") in lines
    assert ("dropped", "filter.characters.min", "0", "55") in lines
    assert ("tokens", "p95", "1,234", "1,234") in lines
    assert ("en", "50.0%", "(6,200)", "0.0%", "(0)") in lines
    assert ("plant", "1.0%", "(124)", "100.0%", "(12,345)") in lines
    assert ("filter.preset", "*", "standard") in lines
    assert "mapping.layout" not in shown
    assert "rows measured" not in shown
    assert ("dataset", "ds-1", "ds-2") in lines
    assert ("language", "[ds-1]", "[ds-2]") in lines
    assert "[ds-1] alone, changed, line 7: user: Is [bold]7[/bold] a number?" in shown
    assert "  there line 9: user: Is" in shown
    assert gateway.asked[-2:] == [
        "/v1/datasets/ds-1/comparison/ds-2/rows?limit=3",
        "/v1/datasets/ds-2/comparison/ds-1/rows?limit=3",
    ]
    assert "mapping.layout" in said(capsys, "compare", "ds-1", "ds-2", "--all")


def test_datasets_with_the_same_rows_in_the_same_order_are_told(gateway, capsys):
    gateway.answers["/v1/datasets/ds-1/comparison/ds-2"] = {**COMPARISON, "same": True}

    shown = said(capsys, "compare", "ds-1", "ds-2")

    assert ("same", "rows", "and", "order", "yes", "yes") in [
        tuple(line.split()) for line in shown.splitlines()
    ]


def test_datasets_of_one_name_are_told_apart_by_their_ids(gateway, capsys, monkeypatch):
    same = [{**each, "name": "tickets"} for each in COMPARISON["datasets"]]
    monkeypatch.setitem(COMPARISON, "datasets", same)

    shown = said(capsys, "compare", "ds-1", "ds-2")

    assert ("language", "ds-1", "ds-2") in [tuple(line.split()) for line in shown.splitlines()]
    assert "ds-1 alone, changed" in shown


def test_a_comparison_for_programs_has_the_rows_of_each_dataset_alone(gateway, capsys):
    found = json.loads(said(capsys, "compare", "ds-1", "ds-2", "--json"))
    without = json.loads(said(capsys, "compare", "ds-1", "ds-2", "--rows", "0", "--json"))

    assert found == {**COMPARISON, "rows": {"ds-1": [ALONE], "ds-2": []}}
    assert without == {**COMPARISON, "rows": {}}


def test_a_report_is_written_whole_where_it_was_asked_for(gateway, capsys, tmp_path: Path):
    target = tmp_path / "[red]page.html"

    assert said(capsys, "report", "ds-1", "--output", str(target)).strip() == str(target)
    assert "/v1/datasets/ds-1/report?format=html" in gateway.asked
    assert target.read_bytes() == PAGE
    assert list(tmp_path.iterdir()) == [target]


def test_a_report_says_which_dataset_it_is_of_and_of_which_files(gateway, capsys, tmp_path: Path):
    gateway.answers["/v1/datasets/ds-1/report"] = b"<h1>tickets</h1><p>rows</p>"
    gateway.answers["/v1/datasets/ds-1"] |= {"digest": "sha256:<5", "created_at": 86_400}
    target = tmp_path / "page.html"

    said(capsys, "report", "ds-1", "--output", str(target))

    before, _, behind = target.read_text().partition('<table id="facts">')
    facts, _, rest = behind.partition("</table>")
    assert (before.strip(), rest) == ("<h1>tickets</h1>", "<p>rows</p>")
    rows = re.findall("<tr><th>(.*)</th><td>(.*)</td></tr>", facts)
    assert dict(rows) == {
        "dataset": "ds-1",
        "owner": "acme",
        "content": "sha256:&lt;5",
        "made": "1970-01-02 00:00 UTC",
        "file 1": "a.csv (file-1, sha256:9f, 7 bytes)",
        "file 2": "file-gone, which was deleted",
    }


def test_an_unknown_dataset_ends_with_one_line_and_leaves_no_file(gateway, capsys, tmp_path: Path):
    for words in (("explain", "ds-9", "7"), ("report", "ds-9", "--output", f"{tmp_path}/page")):
        assert run_app(["data", *words]) == 2
        assert capsys.readouterr().err.count("no dataset 'ds-9'") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("explain", "ds-1", "0"), ("compare", "a", "b", "--rows", "-1")])
def test_numbers_that_cannot_be_are_refused_before_anything_is_asked(gateway, capsys, words):
    assert run_app(["data", *words]) == 2
    assert gateway.asked == []
