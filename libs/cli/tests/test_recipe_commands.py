"""`mill run` and `mill recipe` of a recipe whose jobs were all done before: words, plan, report."""

import json
from collections.abc import Iterator
from hashlib import sha256
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

ROWS = "".join(json.dumps({"q": f"question {n}", "a": "yes"}) + "\n" for n in range(20))
RECIPE = """name: x
base: some-base
data:
  files: rows.jsonl
  mapping: {user_template: "{q}", answer_template: "{a}"}
evaluation:
  measures: [accuracy]
"""
SHARE = {"value": 0.75, "mean": 0.75, "low": 0.65, "high": 0.85}
SCORE = {"value": 0.75, "low": 0.65, "high": 0.85}
SUITE = {"measures": {"accuracy": {"model": SHARE}}, "rows": 2}
SUMMARY = {
    **{"learned": True, "accuracy_tuned": SHARE, "rows_in": 20, "train": 16, "test": 2},
    **{"suites": {"test": SUITE}},
}


class Gateway(ThreadingHTTPServer):
    """Has done everything, or nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.is_done = True
        self.protections: list[dict[str, Any]] = []
        self.posted: list[str] = []

    def answer_to(self, method: str, path: str) -> Any:
        job = {"id": "job-1", "kind": "train", "status": "succeeded", "cost": {"work_seconds": 4}}
        summary = SUMMARY | {"protections": self.protections}
        job |= {"spec": {}, "result": {"version_id": "mv-1", "summary": summary}}
        if method == "POST":
            self.posted.append(path)
            return {"id": "ds-1", "job_id": "job-1"}
        if path.startswith("/v1/models/"):
            facts = {"digest": "sha256:1", "size_bytes": 1000, "serving_version_id": "mv-1"}
            return facts | {"id": path.rpartition("/")[2]}
        one: dict[str, Any] = {
            "/v1/jobs/job-1": job,
            "/v1/datasets/ds-1": {"digest": "sha256:d"},
            "/v1/files/file-1": {"filename": "rows.jsonl", "sha256": "ab"},
        }
        file = {"id": "file-1", "filename": "a.jsonl", "sha256": sha256(ROWS.encode()).hexdigest()}
        lists: dict[str, list[Any]] = {
            "/v1/jobs": [job],
            "/v1/files": [file],
            "/v1/datasets": [{"id": "ds-1", "job_id": "job-1", "counts": {}}],
            "/v1/aliases": [{"name": "x", "version_id": "mv-1"}],
        }
        return one.get(path) or {"data": lists.get(path, []) if self.is_done else []}


class _Handler(Handler):
    server: Gateway

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def do_GET(self) -> None:
        found = self.server.answer_to(self.command, self.path.partition("?")[0])
        self.answer(json.dumps(found).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as server:
        yield server


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE)
    return file


def test_a_run_ends_with_scores_intervals_and_a_report(
    gateway: Gateway, recipe: Path, capsys: pytest.CaptureFixture[str]
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
    gateway: Gateway, recipe: Path, capsys: pytest.CaptureFixture[str]
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
    gateway: Gateway, recipe: Path, capsys: pytest.CaptureFixture[str], as_json: bool
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
    gateway: Gateway, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = str(recipe.parent / "state")
    assert run_app(["--state", state, "run", str(recipe), "--plan"]) == 0
    said = capsys.readouterr().out
    assert gateway.posted == []
    steps = ("files", "dataset", "training", "build", "evaluation", "alias x")
    rows = [line for line in said.splitlines() if "kept" in line]
    assert [step for step, row in zip(steps, rows, strict=True) if step in row] == list(steps)


def test_a_plan_of_what_is_to_be_done_has_rows_times_and_what_is_unknown(
    gateway: Gateway, recipe: Path, capsys: pytest.CaptureFixture[str]
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
    gateway: Gateway, recipe: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(RECIPE.replace("{q}", "{qq}"))
    assert run_app(["--state", str(recipe.parent), *command, str(recipe)]) == 2
    assert f"{recipe}:5: unknown column 'qq'." in capsys.readouterr().err


def test_for_programs_a_check_lists_its_errors(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(RECIPE.replace("{q}", "{qq}"))
    assert run_app(["recipe", "check", str(recipe), "--json"]) == 2
    out, err = capsys.readouterr()
    (error,) = json.loads(out)["errors"]
    assert error.startswith(f"{recipe}:5: unknown column 'qq'.")
    assert error in err
