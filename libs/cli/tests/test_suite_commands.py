"""`mill eval --suite`: a suite's tasks in one job, its files sent once, its mean shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support.evaluating_gateway import EvaluatingGateway
from cli_support.gateways import told_of
from modelmill_cli.app import WORK_FAILED, run_app

FIGURE = {"value": 0.75, "low": 0.6, "high": 0.9, "rows": 40}
SUITE = {"name": "mine", "license": "MIT", "metrics": {"own": "accuracy"}, "without_mean": ""}
SUMMARY: dict[str, Any] = {
    "models": {"model": {"asked": "kinds", "version_id": "mv-1"}},
    "suites": {"own": {"rows": 2, "measures": {"accuracy": {"model": FIGURE}}}},
    "suite": SUITE | {"mean": {"model": FIGURE | {"value": 0.625}}},
    "protections": [],
    "passed": True,
}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[EvaluatingGateway]:
    with told_of(EvaluatingGateway(SUMMARY), monkeypatch, columns=200) as server:
        yield server


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "suite.yaml").write_text("name: mine\nlicense: MIT\ntasks: [own.yaml]\n")
    own = "task: own\noutput_type: loglikelihood\ndataset_kwargs: {data_files: rows.jsonl}\n"
    (tmp_path / "own.yaml").write_text(own)
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    return tmp_path


@pytest.mark.parametrize("words", [["eval"], ["eval", "run"]])
def test_a_suite_is_one_job_and_its_mean_is_shown(
    gateway: EvaluatingGateway, suite: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app([*words, "--suite", str(suite), "kinds"]) == 0

    [order] = gateway.orders
    assert (order["model"], order["suite"]) == ("kinds", {"name": "mine", "license": "MIT"})
    [task] = order["tasks"]
    assert task["data_file_ids"] == ["file-1"]
    assert "task: own" in task["config"]
    said = capsys.readouterr().out
    assert "suite mine (MIT)" in said
    assert "mean of 1 tasks" in said
    assert "0.625" in said


def test_files_that_were_sent_before_are_not_sent_again_unless_they_changed(
    gateway: EvaluatingGateway, suite: Path
) -> None:
    assert run_app(["eval", "--suite", str(suite), "kinds", "--no-wait"]) == 0
    assert run_app(["eval", "--suite", str(suite), "kinds", "--no-wait"]) == 0
    assert [file["filename"] for file in gateway.files] == ["rows.jsonl"]

    (suite / "rows.jsonl").write_text('{"text": "c"}\n')
    assert run_app(["eval", "--suite", str(suite), "kinds", "--no-wait"]) == 0
    assert [order["tasks"][0]["data_file_ids"] for order in gateway.orders] == [
        ["file-1"],
        ["file-1"],
        ["file-2"],
    ]


def test_a_suite_that_is_none_is_refused_before_anything_is_sent(
    gateway: EvaluatingGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["eval", "--suite", "wordnett", "kinds"]) == 2

    said = capsys.readouterr().err
    assert "no suite 'wordnett'. Did you mean 'wordnet'?" in said
    assert gateway.orders == gateway.files == []


def test_suites_are_listed_with_tasks_rows_and_licence(
    suite: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path_factory.mktemp("suites")
    suite.rename(own / "mine")
    monkeypatch.setenv("MODELMILL_SUITES", str(own))

    assert run_app(["eval", "suites", "--json"]) == 0

    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_name = {each["name"]: each for each in listed}
    assert by_name["mine"]["rows"] == 2
    assert by_name["wordnet"]["tasks"] == ["wordnet_kind", "wordnet_word"]
    assert by_name["wordnet"]["license"] == "WordNet-3.0"
    assert run_app(["eval", "suites"]) == 0
    assert "reviews_zh_sentiment" in capsys.readouterr().out


def test_the_mean_and_single_tasks_of_a_suite_are_protected_by_name(
    gateway: EvaluatingGateway, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"slice_by": "", "slice_value": "", "passed": False, "why": "0.625 is worse than 0.7"}
    gateway.summary = SUMMARY | {
        "protections": [failed | {"measure": "mean", "suite": ""}],
        "passed": False,
    }
    bounds = ["--protect", "mean=0.7", "--protect", "own:accuracy=0.6"]
    assert run_app(["eval", "--suite", str(suite), "kinds", *bounds]) == WORK_FAILED

    [order] = gateway.orders
    named = [(each["measure"], each.get("suite"), each["worst"]) for each in order["protections"]]
    assert named == [("mean", None, 0.7), ("accuracy", "own", 0.6)]
    assert "mean: FAILED: 0.625 is worse than 0.7" in capsys.readouterr().out
