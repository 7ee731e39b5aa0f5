"""The demo's report is drawn from figures as a real run keeps them."""

import io
import json
from pathlib import Path

import pytest
from modelmill_cli.app import run_app
from modelmill_cli.demo.journey import Asked, Findings
from modelmill_cli.demo.report import DemoReport
from modelmill_cli.recipe_call import EndedRun
from modelmill_recipes.run_recipe import RecipeResult, ToldStep
from rich.console import Console

from tests.bench.demo import kept

MEASURED = json.loads(
    (Path(__file__).parents[2] / "deploy" / "demo" / "measured.json").read_text(encoding="utf-8")
)


def findings(folder: Path) -> Findings:
    made = RecipeResult(
        dataset=MEASURED["dataset"],
        training=MEASURED["training"],
        build=MEASURED["build"],
        steps={"training": ToldStep("done", seconds=80.0), "alias x": ToldStep("kept")},
    )
    asked = Asked(*(MEASURED[name] for name in ("question", "answer", "answered_by", "refusal")))
    return Findings(EndedRun(made, {"name": "x"}, folder / "x.html"), 1.5, [3.0, 2.0], asked)


def test_people_read_rows_scores_with_intervals_the_build_the_answer_and_the_refusal(
    tmp_path: Path,
) -> None:
    page = io.StringIO()
    report = DemoReport(findings(tmp_path), tmp_path / "none", 2**30, 90.0)
    report.show(Console(file=page, width=120))
    said = page.getvalue()

    tuned = MEASURED["training"]["accuracy_tuned"]
    assert f"{tuned['mean']:.1%}" in said
    assert f"{tuned['low']:.1%} .. {tuned['high']:.1%}" in said
    assert f"{int(MEASURED['dataset']['rows_quarantined'])}" in said
    assert f"{MEASURED['build']['size_ratio']:.3f}" in said
    assert MEASURED["refusal"] in " ".join(said.split())
    assert f"answer:  {MEASURED['answer']}" in said
    assert "time: 90 s   (base model 2 s  training 80 s)" in said


def test_programs_read_the_runs_document_with_the_demos_own_figures(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    DemoReport(findings(tmp_path), tmp_path / "none", 2**30, 90.0).save(file)
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert (kept["name"], kept["losses"], kept["total_seconds"]) == ("x", [3.0, 2.0], 90.0)
    assert kept["seconds"] == {"base model": 1.5, "training": 80.0}
    assert kept["answer"] == MEASURED["answer"]
    assert kept["machine"]["processor"]


def test_with_json_stdout_is_the_document_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(state: object, options: object, console: Console, *_: object, **__: object) -> Findings:
        console.print("as it goes")
        return findings(tmp_path)

    monkeypatch.setattr("modelmill_cli.recipe_call.in_own_stack", run)
    (state := tmp_path / "state").mkdir()
    assert run_app(["--state", str(state), "demo", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads((state / "demo.json").read_text(encoding="utf-8"))
    assert "as it goes" in shown.err


def test_what_is_kept_says_commit_and_load_and_nothing_of_the_run_alone(tmp_path: Path) -> None:
    figures = {"report": "/somewhere", "request": {"curl": "http://x"}, "answer": "food"}
    measured = kept(figures, 0.5)
    assert measured["answer"] == "food"
    assert measured["load_average_before"] == 0.5
    assert measured["commit"]
    assert not {"report", "request"} & {*measured}
