"""`mill run` and `mill recipe` of a recipe whose jobs were all done before: words, plan, report."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support.gateways import told_of
from cli_support.recipe_gateway import RECIPE, ROWS, SCORE, UNKNOWN, RecipeGateway
from modelmill_cli.app import run_app


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecipeGateway]:
    with told_of(RecipeGateway(), monkeypatch) as server:
        yield server


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE)
    return file


def test_a_run_ends_with_scores_intervals_and_a_report(
    gateway: RecipeGateway, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = recipe.parent / "state"
    assert run_app(["--state", str(state), "run", str(recipe)]) == 0
    said = capsys.readouterr().out
    assert "kept  training     job-1" in said
    assert "75.0% (65.0% to 85.0%)" in said
    report = state / "recipes" / "x.html"
    assert f"report: {report}" in said
    assert "Alias <b>x</b> is" in report.read_text()


def test_for_programs_a_run_ends_with_one_document(
    gateway: RecipeGateway, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipe.parent / "mine").mkdir()
    state = recipe.parent / "mine" / ".." / "state"
    assert run_app(["--state", str(state), "run", str(recipe), "--json"]) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    steps = {each["step"]: (each["state"], each["job_id"]) for each in made["steps"]}
    assert steps["training"] == ("kept", "job-1")
    assert steps["alias x"] == ("kept", "")
    assert {"name": "test: accuracy", **SCORE} in made["scores"]
    assert made["aliases"] == {"x": "mv-1"}
    assert {"sort": "file rows.jsonl", "id": "file-1", "digest": "sha256:ab"} in made["digests"]
    assert made["request"]["curl"].startswith("curl http")
    assert made["report"] == str(recipe.parent.resolve() / "state" / "recipes" / "x.html")
    assert Path(made["report"]).is_file()
    assert (made["jobs"], made["gate"]) == ([], None)
    assert "kept  training     job-1" in err


@pytest.mark.parametrize("as_json", [True, False])
def test_a_run_that_ends_at_a_gate_says_what_it_made_and_ends_with_1(
    gateway: RecipeGateway, recipe: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    gateway.protections = [{"measure": "accuracy", "passed": False, "why": "0.75 < 0.8"}]
    words = ["--state", str(recipe.parent / "state"), "run", str(recipe)]
    assert run_app([*words, *(["--json"] if as_json else [])]) == 1
    out, err = capsys.readouterr()
    assert "accuracy: 0.75 < 0.8" in err
    if as_json:
        made = json.loads(out)
        assert "accuracy: 0.75 < 0.8" in made["gate"]
        assert made["protections"] == gateway.protections
        assert made["aliases"] == {}
    else:
        assert "75.0% (65.0% to 85.0%)" in out
        assert "next:" not in out


def test_a_plan_says_what_is_kept_and_orders_nothing(
    gateway: RecipeGateway, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = str(recipe.parent / "state")
    assert run_app(["--state", state, "run", str(recipe), "--plan"]) == 0
    said = capsys.readouterr().out
    assert gateway.posted == []
    steps = ("files", "dataset", "training", "build", "evaluation", "alias x")
    rows = [line for line in said.splitlines() if "kept" in line]
    assert [step for step, row in zip(steps, rows, strict=True) if step in row] == list(steps)


def test_a_plan_of_what_is_to_be_done_has_rows_times_and_what_is_unknown(
    gateway: RecipeGateway, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.is_done = False
    state = str(recipe.parent / "state")
    assert run_app(["--state", state, "run", str(recipe), "--plan", "--hourly-rate", "3600"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "dataset do 20 230.0 MB 1 s 0.7006 rule" in said
    assert "not known: the tokenizer of some-base is not on this machine" in said

    assert run_app(["--state", state, "run", str(recipe), "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    steps = {each["step"]: each for each in plan["steps"]}
    assert (steps["dataset"]["state"], steps["dataset"]["estimate"]["rows"]) == ("do", 20)
    assert steps["training"]["estimate"]["seconds"] is None
    assert (plan["seconds"], plan["cost"]) == (None, None)
    assert "the tokenizer of some-base" in plan["notes"][0]


@pytest.mark.parametrize("command", [["recipe", "check"], ["run", "--plan"]])
def test_a_column_that_the_file_does_not_have_is_named_with_its_line(
    gateway: RecipeGateway, recipe: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(RECIPE.replace("{q}", "{qq}"))
    assert run_app(["--state", str(recipe.parent), *command, str(recipe)]) == 2
    assert f"{recipe}:5: unknown column 'qq'." in capsys.readouterr().err


def test_a_base_is_looked_up_where_somebody_answers(
    gateway: RecipeGateway,
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check = ["--state", str(recipe.parent / "state"), "recipe", "check", str(recipe)]
    assert run_app(check) == 0
    assert capsys.readouterr().out.endswith("no error found\n")

    recipe.write_text(RECIPE.replace("some-base", UNKNOWN))
    assert run_app(check) == 2
    assert f"{recipe}:2: no model {UNKNOWN}" in capsys.readouterr().err

    monkeypatch.delenv("MODELMILL_URL")
    assert run_app(check) == 0
    assert f"base {UNKNOWN!r} was not looked up" in capsys.readouterr().out


def test_for_programs_a_check_lists_its_errors(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(RECIPE.replace("{q}", "{qq}"))
    assert run_app(["recipe", "check", str(recipe), "--json"]) == 2
    out, err = capsys.readouterr()
    (error,) = json.loads(out)["errors"]
    assert error.startswith(f"{recipe}:5: unknown column 'qq'.")
    assert error in err
