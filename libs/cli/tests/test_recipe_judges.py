"""`mill run` of a recipe with a judge: it decides once its agreement is published, and not before.

What the judge says is that of a real `mill eval judge calibrate`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support.evaluating_gateway import EvaluatingGateway
from cli_support.gateways import told_of
from cli_support.judges import references, sound, write_judge
from cli_support.recipe_gateway import RECIPE, ROWS, RecipeGateway
from cli_support.teachers import TeacherServer, teaching
from modelmill_cli.app import CANNOT, WORK_FAILED, run_app

pytestmark = pytest.mark.tier("test")
JUDGED = "  judge: judge.yaml\n  protections: [{measure: judge, worst: %s}]\n"


@pytest.fixture
def server() -> Iterator[TeacherServer]:
    with teaching(sound) as running:
        yield running


@pytest.fixture
def judge(tmp_path: Path, server: TeacherServer) -> Path:
    return write_judge(tmp_path, server)


@pytest.fixture
def gateway(judge: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecipeGateway]:
    made = RecipeGateway()
    made.rows = [
        {
            **{"suite": "own", "row": str(number), "prompt": f"{number}?", "reference": "right"},
            "model": {"answer": f"{'right' if number % 4 else 'wrong'} {number}"},
        }
        for number in range(8)
    ]
    with told_of(made, monkeypatch, columns=200) as running:
        yield running


def publish_agreement(gateway: RecipeGateway, judge: Path) -> None:
    """Calibrates it elsewhere, and has the record here."""
    with pytest.MonkeyPatch.context() as patch, told_of(EvaluatingGateway({}), patch) as other:
        rows = references(judge.parent)
        assert run_app(["eval", "judge", "calibrate", str(judge), str(rows)]) == 0
    gateway.more_files = [{**file, "purpose": "user_data"} for file in other.files]
    gateway.contents = other.contents


def recipe(folder: Path, worst: str) -> Path:
    (folder / "rows.jsonl").write_text(ROWS)
    file = folder / "recipe.yaml"
    file.write_text(RECIPE + JUDGED % worst)
    return file


def run(folder: Path, worst: str = "0.5", *more: str) -> int:
    words = ["--state", str(folder / "state"), "run", str(recipe(folder, worst)), *more]
    return run_app(words)


def test_a_judge_without_published_agreement_is_refused_before_anything_is_ordered(
    gateway: RecipeGateway,
    server: TeacherServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(tmp_path) == CANNOT
    said = capsys.readouterr().err
    assert "judge facts may not decide: agreement unknown: none is published" in said
    assert "mill eval judge calibrate" in said
    assert gateway.posted == server.prompts == []

    assert run(tmp_path, "0.5", "--plan") == 0
    assert "judge facts may not decide" in capsys.readouterr().out
    assert gateway.posted == []


def test_agreement_with_another_rubric_lets_no_judge_decide(
    gateway: RecipeGateway,
    judge: Path,
    server: TeacherServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish_agreement(gateway, judge)
    write_judge(tmp_path, server, rubric="An answer is good if it is short.")
    assert run(tmp_path) == CANNOT
    assert "rubric_sha256 changed since it was measured" in capsys.readouterr().err
    assert gateway.posted == []


def test_the_alias_moves_where_the_judge_gives_enough_and_stays_where_it_does_not(
    gateway: RecipeGateway,
    judge: Path,
    server: TeacherServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish_agreement(gateway, judge)
    capsys.readouterr()
    assert run(tmp_path, "0.75") == 0
    assert "judge facts" in (said := capsys.readouterr().out)
    assert "75.0%" in said
    [order] = [body for body in gateway.bodies if "measures" in body]
    assert order["with_prompts"] is True
    assert order["protections"] == []
    asked = len(server.prompts)

    assert run(tmp_path, "0.8", "--json") == WORK_FAILED
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert "alias x stays where it is: judge: 0.75 is worse than 0.8" in err
    assert made["aliases"] == {}
    assert made["protections"][0]["why"] == "0.75 is worse than 0.8"
    assert made["judged"]["decides"] is True
    assert {"name": "judge facts", "value": 0.75} in [
        {"name": each["name"], "value": each["value"]} for each in made["scores"]
    ]
    assert len(server.prompts) == asked


def test_a_judge_that_answers_as_another_model_after_the_training_moves_no_alias(
    gateway: RecipeGateway,
    judge: Path,
    server: TeacherServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish_agreement(gateway, judge)
    server.model = "big-0613"
    assert run(tmp_path) == WORK_FAILED
    assert "big-0613 answered, and it was measured with big" in capsys.readouterr().err


def test_a_judge_that_bounds_nothing_scores_and_the_report_says_that_it_decides_nothing(
    gateway: RecipeGateway, judge: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path, "0.5")
    file.write_text(RECIPE + "  judge: judge.yaml\n")
    assert run_app(["--state", str(tmp_path / "state"), "run", str(file)]) == 0
    report = (tmp_path / "state" / "recipes" / "x.html").read_text()
    assert "Judge facts: not decided: agreement unknown" in report


def test_a_check_names_what_is_wrong_with_the_judge(
    judge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge.write_text(judge.read_text().replace("rubric:", "rubrik:"))
    assert run_app(["recipe", "check", str(recipe(tmp_path, "0.5"))]) == CANNOT
    assert "judge.yaml:6: rubrik: unknown field" in capsys.readouterr().err
