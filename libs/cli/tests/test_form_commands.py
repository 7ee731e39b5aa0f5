"""`mill models forms` and `mill jobs candidates`: costs, quality lost, and the Pareto frontier."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

SIZE = {"name": "size_mb", "unit": "MB", "higher_is_better": False}
LOSS = {"name": "accuracy_loss", "unit": "share", "higher_is_better": False}
INT8 = {
    "form": "openvino-int8",
    "version_id": "mv-int8",
    "costs": {"size_mb": {"value": 74.0, "low": 74.0, "high": 74.0}},
    "losses": {"accuracy_loss": {"value": 0.01, "low": 0.0, "high": 0.02}},
    "frontier": {"size_mb": ["accuracy_loss"]},
    "is_chosen": True,
    "refusal": None,
}
WHY = {"code": "loses_too_much", "reason": "loses more than [its order] allowed"}
BEATEN = {**INT8, "form": "onnx-int8", "version_id": None, "frontier": {}, "is_chosen": False}
UNTRIED = {**BEATEN, "form": "onnx-int4", "costs": {}, "losses": {}, "refusal": WHY}
FOUND: dict[str, Any] = {
    "costs": [SIZE],
    "losses": [LOSS],
    "data": [INT8, BEATEN, UNTRIED],
    "objective": {"name": "size_mb", "value": 80.0, "bound": "at_most"},
    "max_accuracy_loss": 0.02,
    "load": {"in_flight": 8},
    "dataset_id": "ds-words",
    "verdict": "met",
    "reason": "openvino-int8 has 74",
}


class _Handler(Handler):
    def do_GET(self) -> None:
        is_compared = self.path.endswith(("/forms", "/candidates"))
        self.answer(json.dumps(FOUND if is_compared else {"id": "job-1"}).encode())


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with told_of(ThreadingHTTPServer(("127.0.0.1", 0), _Handler), monkeypatch):
        yield


@pytest.mark.parametrize("words", [("models", "forms", "mv-int8"), ("jobs", "candidates", "job-1")])
def test_a_row_has_costs_losses_the_frontier_and_why_a_form_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    assert run_app([*words]) == 0

    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "met: openvino-int8 has 74"
    assert rows[0].split() == [
        *("form", "size_mb", "MB", "accuracy_loss", "%", "frontier", "mark", "version")
    ]
    assert rows[1].split() == [
        *("openvino-int8", "74", "1", "(0", "to", "2)", "size_mb", "chosen", "mv-int8")
    ]
    assert rows[2].split() == ["onnx-int8", "74", "1", "(0", "to", "2)"]
    assert "loses too much: loses more than [its order] allowed" in rows[3]
    assert "objective: size_mb at most 80; accuracy_loss at most 2 %; load: in_flight 8" in rows[4]
    assert "scored on ds-words" in rows[4]


def test_programs_have_the_gateways_answer(capsys: pytest.CaptureFixture[str]):
    assert run_app(["jobs", "candidates", "job-1", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == FOUND
