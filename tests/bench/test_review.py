"""A ledger of journeys says what is left."""

from typing import Any

import pytest

from tests.bench.kept_changes import changes, kind_of
from tests.bench.review import attack_entries, ran, run_entries, walked


def journey(*severities: tuple[str, str]) -> dict[str, Any]:
    return {
        "name": "owner",
        "who": "a data owner",
        "success": "a masked dataset",
        "minutes": [8.0, 4.0],
        "findings": [
            {"what": "it", "before": before, "after": after} for before, after in severities
        ],
    }


def test_a_blocking_point_that_is_left_misses_the_goal():
    for after, is_met in (("none", True), ("small", True), ("blocking", False)):
        blocking, minutes, findings = walked(journey(("blocking", after), ("bad", "none")))
        assert blocking.met is is_met
        assert minutes.value == 4.0
        assert minutes.ratio == 0.5
        assert findings.value == (0 if after == "none" else 1)


def test_a_severity_that_is_none_is_refused():
    with pytest.raises(ValueError, match="grave"):
        walked(journey(("grave", "none")))


def test_three_runs_without_a_failure_meet_the_goal_and_one_with_a_failure_misses_it():
    def run(failed: str, target: str = "demo") -> dict[str, Any]:
        told = {"python": "3.11", "commit": "c0", "minutes": 4.0, "failed": failed}
        return {"target": target} | told

    others = [run("it broke", "test"), run("", "demo") | {"python": "3.13"}]
    for runs, is_met in (([run("")] * 3, True), ([run("")] * 2, False), ([], False)):
        assert ran("demo", "3.11", runs + others).met is is_met
    broken = ran("demo", "3.11", [run("")] * 3 + [run("two tests")])
    assert (broken.value, broken.met) == (3, False)
    assert "two tests" in broken.note


def test_the_ledger_of_runs_can_be_read():
    assert len(run_entries()) == 6


def test_the_ledger_of_attacks_can_be_read():
    assert [entry.id for entry in attack_entries()][1:] == [
        f"review.attacks.{severity}" for severity in ("critical", "high", "medium", "low")
    ]


def test_lines_that_a_program_writes_are_nobodys():
    assert kind_of("services/gateway/src/modelmill_gateway/main.py") == "code"
    assert kind_of("services/gateway/console/src/api/body_fields.ts") == "code"
    assert kind_of("services/gateway/tests/test_process.py") == "tests"
    assert kind_of("docs/install.md") == "other"
    for written in ("libs/contracts/src/a_pb2.py", "libs/client/src/modelmill_client/types.py"):
        assert kind_of(written) is None
    assert kind_of("deploy/bench/review.json") is None


def figure(commit: str, *, met: bool | None, ratio: tuple[float, float], goal: str) -> Any:
    return {"commit": commit, "met": met, "ci95": ratio, "goal": goal, "against": "it"}


def test_a_figure_is_worse_where_its_goal_is_missed_anew_or_its_interval_is_on_the_wrong_side():
    before = {
        name: figure("a", met=True, ratio=(0.9, 1.1), goal=goal)
        for name, goal in {
            **dict.fromkeys(("missed", "near", "faster", "old"), "ratio >= 0.8"),
            "slower": "ratio <= 2",
        }.items()
    }
    now = {
        "missed": figure("b", met=False, ratio=(0.7, 1.0), goal="ratio >= 0.8"),
        "near": figure("b", met=True, ratio=(1.0, 1.2), goal="ratio >= 0.8"),
        "faster": figure("b", met=True, ratio=(1.2, 1.3), goal="ratio >= 0.8"),
        "slower": figure("b", met=True, ratio=(1.2, 1.3), goal="ratio <= 2"),
        "old": before["old"],
        "first": figure("b", met=True, ratio=(1, 1), goal=""),
        "house.lines": before["old"],
    }
    before["house.lines"] = before["old"]

    assert changes(before, now) == {
        "missed": "worse",
        "near": "unchanged",
        "faster": "improved",
        "slower": "worse",
        "old": "not renewed",
        "first": "new",
        "house.lines": "of past commits",
    }
