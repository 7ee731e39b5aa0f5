"""`mill requests`: what an alias logged, as a table, as rows of a dataset, and gone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support.real_gateway import asks, furnished_house, logged_request
from gateway_support.house import House
from modelmill_cli.app import run_app
from modelmill_client import Modelmill

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with furnished_house(tmp_path_factory.mktemp("house")) as (house, _):
        yield house


@pytest.fixture
def client(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modelmill]:
    asks(house, monkeypatch)
    with Modelmill() as asking:
        yield asking


def test_the_newest_are_listed_by_what_was_asked(client: Modelmill, capsys: Output):
    for number in range(3):
        logged_request(client, f"question {number}", user="lister")

    assert run_app(["requests", "list", "--last", "2", "--user", "lister"]) == 0

    out = capsys.readouterr().out
    assert ["question 2" in out, "question 1" in out, "question 0" in out] == [True, True, False]


def test_one_is_shown_with_its_texts(client: Modelmill, capsys: Output):
    request_id = logged_request(client, "where is it?", user="shower")

    assert run_app(["requests", "show", request_id]) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["user", "where", "is", "it?"] in lines
    assert [
        "assistant",
        *client.logs.retrieve(request_id)["answers"][0]["content"].split(),
    ] in lines


def test_an_export_is_rows_with_the_answer_as_last_message(
    client: Modelmill, tmp_path: Path, capsys: Output
):
    request_id = logged_request(client, "one", user="exporter")
    file = tmp_path / "rows.jsonl"

    assert run_app(["requests", "export", str(file), "--user", "exporter"]) == 0

    [row] = [json.loads(line) for line in file.read_text().splitlines()]
    assert (row["id"], [each["role"] for each in row["messages"]]) == (
        request_id,
        ["user", "assistant"],
    )
    assert run_app(["requests", "export", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_deleted_texts_are_shown_as_such_and_not_exported(
    client: Modelmill, tmp_path: Path, capsys: Output
):
    request_id = logged_request(client, "forget me", user="leaver")

    assert run_app(["requests", "delete-user", "leaver"]) == 2
    assert "Say --yes" in capsys.readouterr().err
    assert run_app(["requests", "delete-user", "leaver", "--yes"]) == 0
    assert "the texts of 1 request are deleted" in capsys.readouterr().out

    run_app(["requests", "show", request_id])
    out = capsys.readouterr().out
    assert "deleted with all of their user's" in out
    assert "forget me" not in out
    file = tmp_path / "rows.jsonl"
    run_app(["requests", "export", str(file), "--user", "leaver"])
    assert file.read_text() == ""


def test_an_alias_is_told_to_log(client: Modelmill, capsys: Output):
    assert run_app(["models", "alias", "told", "mv-own", "--store"]) == 0
    assert "requests are logged" in capsys.readouterr().out
    [told] = [each for each in client.aliases.list() if each["id"] == "told"]
    assert told["store"] is True


def test_an_unknown_request_is_refused_with_the_command_that_lists(
    client: Modelmill, capsys: Output
):
    assert run_app(["requests", "show", "req-none"]) == 2
    assert "mill requests list" in capsys.readouterr().err
