"""What frontdoor counts and compares."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import frontdoor
from tests.bench.figures import Entry
from tests.bench.frontdoor_estimates import MOST_OFF, compared, estimate_entries
from tests.bench.kept_entries import keep_entries
from tests.bench.rival_llama_factory import COMMANDS, EDITED, counted, rival_entries

ESTIMATE = {"tokens": 1000, "seconds": 30.0, "memory_bytes": 4e9}


def plan(**changes: Any) -> dict[str, Any]:
    done: dict[str, Any] = {"step": "files", "estimate": None}
    return {"steps": [done, {"step": "training", "estimate": ESTIMATE | changes}]}


def jobs(**changes: Any) -> dict[str, Any]:
    summary = {"train_tokens": 1050, "peak_memory_bytes": 3e9} | changes
    return {"training": {"cost": {"work_seconds": 20.0}, "result": {"summary": summary}}}


def entry(name: str, *, of_plan: dict[str, Any], of_jobs: dict[str, Any]) -> Entry:
    found = {each.id: each for each in estimate_entries("fresh", compared("r", of_plan, of_jobs))}
    return found[f"frontdoor.estimate.fresh.{name}"]


@pytest.mark.parametrize(
    ("name", "estimated", "off", "met"),
    [
        ("tokens", 1000, 1.05, True),
        ("tokens", 1200, 1200 / 1050, False),
        ("seconds", 39.0, 1.95, True),
        ("seconds", 9.0, 20 / 9, False),
        ("memory", 7e9, 7 / 3, False),
        ("memory", 1.6e9, 3 / 1.6, True),
    ],
)
def test_an_estimate_is_off_by_too_much_and_by_too_little_alike(
    name: str, estimated: float, off: float, met: bool
) -> None:
    field = "memory_bytes" if name == "memory" else name
    found = entry(name, of_plan=plan(**{field: estimated}), of_jobs=jobs())
    assert found.value == pytest.approx(off)
    assert found.met is met
    assert "r training" in found.note


def test_the_worst_of_all_jobs_counts() -> None:
    figures = compared("a", plan(), jobs()) + compared("b", plan(tokens=2000), jobs())
    found = {each.id: each.value for each in estimate_entries("earlier", figures)}
    assert found["frontdoor.estimate.earlier.tokens"] == pytest.approx(2000 / 1050)
    assert len(found) == len(MOST_OFF)


def test_a_figure_that_the_plan_does_not_have_is_no_success() -> None:
    with pytest.raises(ValueError, match="no seconds of training"):
        compared("r", plan(seconds=None), jobs())


def test_by_the_rule_an_environment_and_further_questions_do_not_count() -> None:
    typed = ["python3 -m venv venv", "pip install", "mill up", "mill chat 1", "mill chat 2"]
    assert counted(typed) == ["pip install", "mill up", "mill chat 1"]


def test_both_paths_are_counted_from_what_is_typed_and_edited() -> None:
    commands, files = rival_entries([*frontdoor.setup(Path("B"), "python3"), "mill chat 1"])
    assert (commands.value, commands.ratio) == (3, 3 / len(COMMANDS))
    assert (files.value, files.ratio) == (0, 0 / len(EDITED))
    assert "LlamaFactory" in commands.note


def test_an_entry_that_was_not_measured_again_keeps_its_commit(tmp_path: Path) -> None:
    result = tmp_path / "frontdoor.json"
    ids = ("frontdoor.old", "frontdoor.rival.commands")
    before = [{"id": name, "value": 1} for name in ids]
    result.write_text(json.dumps({"commit": "old", "date": "then", "entries": before}))
    keep_entries(rival_entries(["mill chat 1"]), result)
    kept = json.loads(result.read_text())
    found = {each["id"]: each for each in kept["entries"]}
    assert (found[ids[0]]["commit"], found[ids[0]]["date"]) == ("old", "then")
    assert found[ids[1]]["commit"] == kept["commit"] != "old"
    assert len(kept["entries"]) == 3
