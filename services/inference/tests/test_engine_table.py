"""The table of engines and cases says what became of each, the worst of it."""

import pytest

from .engine_bench import CANNOT
from .engine_table import TableOfOutcomes, lines_of


def report(case: str, engine: str, when: str, outcome: str, **properties: object) -> object:
    return pytest.TestReport(
        nodeid=f"folder/test_engine_contract.py::test_{case}[{engine}]",
        location=("", None, ""),
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=None,
        when=when,  # type: ignore[arg-type]
        user_properties=list(properties.items()),
    )


def test_passed_cannot_failed_and_not_run_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRACT_ENGINES", "fake,openvino")
    heard = TableOfOutcomes()
    for said in (
        report("it_runs", "fake", "call", "passed"),
        report("it_runs", "openvino", "setup", "failed"),
        report("it_scores", "fake", "call", "passed", **{CANNOT: True}),
        report("it_ends", "fake", "call", "skipped"),
        report("it_ends", "openvino", "call", "failed"),
        report("it_ends", "openvino", "teardown", "passed"),
    ):
        heard.pytest_runtest_logreport(said)  # type: ignore[arg-type]

    assert heard.table == {
        "it runs": {"fake": "passed", "openvino": "failed"},
        "it scores": {"fake": "cannot", "openvino": "not run"},
        "it ends": {"fake": "cannot", "openvino": "failed"},
    }
    assert [line.split() for line in lines_of(heard.table)[-4:]] == [
        ["cases", "passed", "1", "0"],
        ["cases", "cannot", "2", "0"],
        ["cases", "failed", "0", "2"],
        ["cases", "not", "run", "0", "1"],
    ]
