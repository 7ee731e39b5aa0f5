"""What a program tells becomes a column; what is kept is what the README shows."""

import json

import pytest

from tests.clients import report
from tests.clients.__main__ import KEPT, README
from tests.clients.calls import CALLS, CLIENTS, PROGRAMS
from tests.clients.running import Column, read_told

TOLD = """{"version": "1.2"}
{"call": "chat", "failed": null}
{"call": "tools", "failed": "Error: no"}
"""


def test_a_column_has_what_was_told_and_nothing_else():
    column = read_told(CLIENTS[0], TOLD)

    assert (column.version, column.results) == ("1.2", {"chat": None, "tools": "Error: no"})
    assert column.failures == {"tools": "Error: no"}


def test_a_call_that_a_client_does_not_have_neither_passed_nor_failed():
    columns = [read_told(CLIENTS[0], TOLD), Column(CLIENTS[1], "3", {"chat": "Error: x"})]
    table = report.as_markdown(report.document(columns)).splitlines()

    assert table[2:] == ["| chat | pass | fail |", "| tools | fail | – |"]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_client_has_a_program_whose_calls_are_rows(client):
    assert (PROGRAMS / client.program).exists()
    kept = {it["name"]: it["results"] for it in json.loads(KEPT.read_text())["clients"]}
    assert kept[client.name].keys() <= set(CALLS)


def test_the_readme_shows_the_kept_run_in_which_all_passed():
    kept = json.loads(KEPT.read_text())

    assert README.read_text().endswith(report.as_measured(kept))
    assert {result for it in kept["clients"] for result in it["results"].values()} == {"pass"}
