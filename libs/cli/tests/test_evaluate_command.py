"""`mill eval`: what is ordered, and what a person reads of what was found."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

JOB = "job-0123456789abcdef0123456789abcdef"
FIGURE = {"value": 0.75, "low": 0.6, "high": 0.9, "rows": 40}
LOSS = {"value": -0.125, "low": -0.2, "high": -0.05, "rows": 40}
SUMMARY: dict[str, Any] = {
    "models": {
        "model": {"asked": "kinds", "version_id": "mv-1"},
        "compare_to": {"asked": "mv-2", "version_id": "mv-2"},
    },
    "suites": {
        "dataset": {
            "rows": 40.0,
            "measures": {
                "accuracy": {
                    "model": FIGURE,
                    "compare_to": {**FIGURE, "value": 0.875},
                    "comparison": {
                        "difference": LOSS,
                        "won": 0.1,
                        "lost": 0.225,
                        "tied": 0.675,
                        "is_clear": True,
                    },
                }
            },
        }
    },
    "protections": [
        {
            "measure": "accuracy",
            "slice_by": "answer",
            "slice_value": "plant",
            "passed": False,
            "why": "0.5 is worse than 0.6",
        }
    ],
    "passed": False,
}


ORDER = {
    "model": "kinds",
    "compare_to": "mv-2",
    "dataset_id": "ds-1",
    "split": "test",
    "tasks": [{"config": "task: mine", "data_file_ids": ["file-1"]}],
    "measures": ["accuracy"],
    "slices": [{"by": "answer"}],
    "protections": [
        {
            "measure": "accuracy",
            "slice_by": "answer",
            "slice_value": "plant",
            "worst": 0.6,
        },
        {"measure": "perplexity", "slice_by": "", "slice_value": "", "worst": 12.0},
    ],
    "max_rows": 40,
    "seed": 0,
}


class Gateway(ThreadingHTTPServer):
    """Has one evaluation, which has ended, and remembers what was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[tuple[str, bytes]] = []
        self.summary: dict[str, Any] = SUMMARY
        self.rows: list[dict[str, Any]] = []
        self.asked: list[str] = []
        """Queries for rows."""

    @property
    def job(self) -> dict[str, Any]:
        result = {"digest": "d", "version_id": None, "summary": self.summary}
        return {"id": JOB, "status": "succeeded", "result": result}


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/events"):
            event = {"id": "state-1", "message": "succeeded", "data": {"status": "succeeded"}}
            self.answer(f"id: state-1\ndata: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
        elif path.endswith("/rows"):
            self.server.asked.append(self.path.partition("?")[2])
            page = {"data": self.server.rows, "has_more": False}
            self.answer(json.dumps(page).encode())
        elif path.endswith("/report"):
            self.answer(b"<!doctype html>" + self.path.encode())
        else:
            self.answer(json.dumps(self.server.job).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.sent.append((self.path, body))
        answer = {"id": f"file-{len(self.server.sent)}"}
        self.answer(json.dumps(self.server.job if "evaluations" in self.path else answer).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch, columns=200) as server:
        yield server


def test_an_order_says_all_and_its_figures_are_shown(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, rows = tmp_path / "task.yaml", tmp_path / "rows.jsonl"
    task.write_text("task: mine")
    rows.write_text("{}\n")

    status = run_app(
        [
            *("eval", "run", "kinds", "--dataset", "ds-1", "--compare-to", "mv-2"),
            *("--task", str(task), "--data", str(rows), "--measure", "accuracy"),
            *("--slice-by", "answer", "--protect", "accuracy@answer=plant=0.6"),
            *("--protect", "perplexity=12", "--max-rows", "40"),
        ]
    )

    (upload, _), (path, body) = gateway.sent
    assert (upload, path) == ("/v1/files", "/v1/evaluations")
    assert json.loads(body) == ORDER
    said = capsys.readouterr()
    for shown in ("0.75", "0.6 to 0.9", "-0.125", "-0.2 to -0.05", "10% / 68% / 22%"):
        assert shown in said.out
    assert "accuracy of answer plant: FAILED: 0.5 is worse than 0.6" in said.out
    # What is protected got worse: a script that asks hears it.
    assert status == 1
    assert "a protected measure is worse" in said.err


def test_of_a_classification_only_what_says_how_good_it_is_is_shown(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    measures = {name: {"model": FIGURE} for name in ("accuracy", "perplexity", "bleu")}
    suite = {"rows": 40.0, "measures": measures, "shown": ["accuracy"]}
    gateway.summary = {**SUMMARY, "suites": {"dataset": suite}}

    assert run_app(["eval", "show", JOB]) == 0
    said = capsys.readouterr().out
    assert "accuracy" in said
    assert "perplexity" not in said
    assert "bleu" not in said


def test_a_model_that_is_good_enough_is_no_error(gateway: Gateway) -> None:
    gateway.summary = {**SUMMARY, "protections": [], "passed": True}

    assert run_app(["eval", "run", "kinds", "--dataset", "ds-1"]) == 0


def test_who_does_not_wait_is_told_the_job(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["eval", "run", "kinds", "--dataset", "ds-1", "--no-wait"]) == 0
    assert capsys.readouterr().out.strip() == JOB


def test_what_was_found_is_shown_again_and_written_to_a_file(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"

    assert run_app(["eval", "show", JOB]) == 0
    assert "kinds" in capsys.readouterr().out
    assert run_app(["eval", "report", JOB, "--output", str(page)]) == 0
    assert page.read_bytes() == f"<!doctype html>/v1/evaluations/{JOB}/report?format=html".encode()


@pytest.mark.parametrize("written", ["accuracy", "accuracy=", "=1", "own:=1", "accuracy@answer=1"])
def test_a_protection_that_is_none_is_refused_before_anything_is_sent(
    gateway: Gateway, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["eval", "run", "kinds", "--dataset", "ds-1", "--protect", written]) == 2
    assert "write MEASURE=WORST" in capsys.readouterr().err
    assert gateway.sent == []


def said_of(answer: str, right: bool | None) -> dict[str, Any]:
    scores = {} if right is None else {"accuracy": float(right)}
    scores = scores or {"bleu": 12.3456}
    return {"answer": answer, "chosen": None, "scores": scores, "is_right": right}


def test_rows_are_listed_with_both_answers_and_filters_are_asked_for(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "row-7", "row": "7", "suite": "dataset", "prompt": None, "reference": "plant"}
    gateway.rows = [
        {**row, "model": said_of("[red]stone\x1b[2J", False), "compare_to": said_of("x", None)},
        {**row, "model": said_of("plant", True), "compare_to": None},
    ]
    filters = ["--wrong", "--differs", "--text", "Oak", "--slice", "length=0-200", "--suite", "a"]

    assert run_app(["eval", "rows", JOB, *filters]) == 0
    head, first, second = capsys.readouterr().out.splitlines()

    assert head.split()[:4] == ["row", "suite", "prompt", "reference"]
    for words in ("[red]stone\\u001b[2J", "no", "bleu 12.3"):
        assert words in first
    assert second.split() == ["7", "dataset", "plant", "plant", "yes"]
    asked = dict(each.split("=") for each in gateway.asked[-1].split("&"))
    assert asked == {
        **{"wrong": "true", "differs": "true", "text": "Oak", "suite": "a", "limit": "20"},
        **{"slice_by": "length", "slice_value": "0-200"},
    }


def test_programs_get_a_row_a_line_and_no_more_than_they_want(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.rows = [{"id": f"row-{n}"} for n in range(3)]

    assert run_app(["eval", "rows", JOB, "--first", "2", "--json"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["row-0", "row-1"]


def test_a_group_without_its_slice_is_refused(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["eval", "rows", JOB, "--slice", "0-200"]) == 2

    assert "write BY=GROUP, such as length=0-200" in capsys.readouterr().err
