"""`tests.bench.methods`: what a recipe may say, that nothing is done twice, and what is told."""

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_cli.job_words import Job
from modelmill_client import JobFailedError, Modelmill
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from tests.bench.methods.__main__ import main
from tests.bench.methods.contract import nothing_is_done_twice
from tests.bench.methods.fake_gateway import FakeGateway
from tests.bench.methods.jobs import Jobs
from tests.bench.methods.ledger import Ledger
from tests.bench.methods.matrix import TaskResult, measure
from tests.bench.methods.recipe import Recipe, Task, read_recipe
from tests.bench.methods.report import write_report
from tests.bench.methods.rows import draw_rows
from tests.bench.methods.steps import Steps

ARMS: list[dict[str, Any]] = [
    {"name": "lora", "hyper_parameters": {"learning_rate": 0.01}},
    {"name": "full", "method": "full", "hyper_parameters": {"learning_rate": 0.0001}},
    {"name": "dpo", "objective": "dpo", "after": "full", "seeds": [3, 4]},
]
TASK: dict[str, Any] = {
    "name": "kinds",
    "title": "Kinds & <things>",
    "file": "kinds.jsonl",
    "rows": 40,
    "mapping": {"user_template": "{word}", "answer_template": "{label}"},
    "arms": ARMS,
}
RECIPE = Recipe.model_validate(
    {"name": "methods", "title": "Methods", "base": "tiny", "tasks": [TASK]}
)
JOBS = {"dataset": 2, "train": 4, "evaluate": 5}


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"word": f"w{n}", "label": ("plant", "animal", "act")[n % 3]} for n in range(60)]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "kinds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def bench(data: Path, tmp_path: Path) -> Callable[[Any], list[TaskResult]]:
    """The bench with a client, in one folder."""

    def run(client: Modelmill) -> list[TaskResult]:
        def watch(job_id: str, title: str) -> Job:
            job = client.jobs.retrieve(job_id)
            if job["status"] != "succeeded":
                raise JobFailedError(job)
            return job

        steps = Steps(RECIPE, client, Jobs(client, watch), data=data, keep=tmp_path / "keep")
        return list(measure(RECIPE, steps))

    return run


def test_an_order_whose_job_was_cancelled_is_placed_once_more(
    gateway: FakeGateway, data: Path
) -> None:
    file = gateway.client.files.upload(data / "kinds.jsonl")
    jobs = Jobs(gateway.client, lambda job_id, title: dict(gateway.get(f"/v1/jobs/{job_id}")))
    order = {"file_id": file["id"], "mapping": {"answer_template": "{label}"}}
    ids = []
    for _ in range(3):
        ids.append(jobs.ordered("/v1/datasets", order)["job_id"])
        gateway.get(f"/v1/jobs/{ids[-1]}")["status"] = "cancelled"
    last = jobs.ordered("/v1/datasets", order)["job_id"]

    assert len({*ids, last}) == 4
    assert jobs.ordered("/v1/datasets", order)["job_id"] == last


def test_a_bench_that_is_cut_off_after_any_order_goes_on_and_orders_nothing_twice(
    gateway: FakeGateway, bench: Callable[[Any], list[TaskResult]]
) -> None:
    [task] = nothing_is_done_twice(bench, gateway.client, JOBS)

    assert [(arm.name, arm.seed) for arm in task.arms] == [
        ("base", 0), ("lora", 7), ("full", 7), ("dpo", 3), ("dpo", 4)
    ]  # fmt: skip
    base, lora, full, *_ = task.arms
    assert base.accuracy["value"] == 0.5
    assert base.over_base is None
    assert lora.over_base is not None
    assert lora.over_base["value"] == 0.5
    # What every resample agrees on has no width, and a model that is as good has no difference.
    assert 0 < lora.over_base["low"] < 0.5 < lora.over_base["high"]
    assert full.over_base == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert lora.cost["unit_seconds"] == 6.0
    assert (task.rows["test"], task.answers) == (10, 3)


def test_an_arm_starts_from_the_one_it_follows_and_only_it_learns_from_pairs(
    gateway: FakeGateway, bench: Callable[[Any], list[TaskResult]]
) -> None:
    bench(gateway.client)

    jobs = gateway.get("/v1/jobs")["data"]
    lora, full, *preferences = [job for job in jobs if job["kind"] == "train"]
    assert lora["spec"]["base_version_id"] == full["spec"]["base_version_id"] == "mv-base"
    for job in preferences:
        assert job["spec"]["base_version_id"] == full["result"]["version_id"]
        assert job["spec"]["dataset_id"] != full["spec"]["dataset_id"]
    # All are measured on the same rows, whatever they learned from.
    asked = [job["spec"]["dataset_id"] for job in jobs if job["kind"] == "evaluate"]
    assert asked == [full["spec"]["dataset_id"]] * 5


def test_a_job_that_failed_is_run_again_when_the_bench_is(
    gateway: FakeGateway, bench: Callable[[Any], list[TaskResult]]
) -> None:
    gateway.failures["train"] = 2  # also the try that the bench asks for when it finds it failed
    with pytest.raises(JobFailedError, match=r"train job .*: failed"):
        bench(gateway.client)

    [task] = bench(gateway.client)

    assert len(task.arms) == 5
    assert Counter(job["kind"] for job in gateway.get("/v1/jobs")["data"]) == JOBS


def test_the_folder_of_another_modelmill_is_refused(
    gateway: FakeGateway, bench: Callable[[Any], list[TaskResult]]
) -> None:
    bench(gateway.client)

    with pytest.raises(PreconditionError, match="is the bench of another Modelmill"):
        bench(FakeGateway().client)


def test_a_step_with_other_choices_is_another_step(tmp_path: Path) -> None:
    ledger, done = Ledger(tmp_path), list[int]()

    def step(number: int) -> dict[str, int]:
        done.append(number)
        return {"number": number}

    for number in (1, 2, 1):
        choices = {"rate": number, "rows": 3}
        assert ledger.done("train", choices, lambda n=number: step(n)) == {"number": number}
    assert done == [1, 2]


def test_a_step_file_that_is_torn_is_named_with_what_to_do(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.done("train", {}, lambda: {"number": 1})
    [file] = tmp_path.iterdir()
    file.write_text(file.read_text()[:10])

    with pytest.raises(PreconditionError, match="Delete it, and the step is done again"):
        ledger.done("train", {}, lambda: {"number": 2})


def test_a_recipe_is_told_all_that_is_wrong_with_it_at_once(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    task = TASK | {"rows": 0, "colour": 1, "arms": [*ARMS, ARMS[0] | {"method": "magic"}]}
    file.write_text(json.dumps({"name": "Über", "title": "t", "tasks": [task]}))

    with pytest.raises(InvalidInputError) as refused:
        read_recipe(file)

    said = "\n".join(refused.value.errors)
    for place in ("name: ", "tasks.0.rows: ", "tasks.0.colour: ", "tasks.0.arms.3.method: "):
        assert place in said


@pytest.mark.parametrize("name", ["methods", "reviews"])
def test_a_recipe_of_ours_is_one(name: str) -> None:
    file = Path(__file__).parents[2] / "deploy" / "bench" / f"{name}.yaml"

    assert read_recipe(file).name == name


@pytest.mark.parametrize(
    ("arm", "why"),
    [
        ({"name": "lora"}, "the name lora is taken"),
        ({"name": "base"}, "the name base is taken"),
        ({"name": "late", "after": "lora"}, "after must name an arm before it, of method full"),
        ({"name": "late", "after": "later"}, "after must name an arm before it, of method full"),
    ],
)
def test_arms_that_do_not_follow_on_each_other_are_refused(arm: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Task.model_validate(TASK | {"arms": [*ARMS, arm]})


@given(
    st.lists(st.tuples(st.text(max_size=3), st.sampled_from("abc")), min_size=4, max_size=30),
    st.integers(1, 100),
)
def test_a_worse_answer_is_another_one_and_the_same_for_equal_rows(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], seed: int
) -> None:
    rows = [{"word": word, "label": label} for word, label in [*pairs, ("", "a"), ("", "b")]]
    file = tmp_path_factory.mktemp("rows") / "kinds.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    drawn = draw_rows(RECIPE.tasks[0], file, seed)

    labels = {row["label"] for row in rows}
    worse: dict[tuple[str, str], str] = {}
    for row in drawn:
        assert row["rejected"] in labels - {row["label"]}
        assert worse.setdefault((row["word"], row["label"]), row["rejected"]) == row["rejected"]
    assert draw_rows(RECIPE.tasks[0], file, seed) == drawn


def test_rows_that_data_prep_takes_for_equal_have_the_same_worse_answer(data: Path) -> None:
    words = ("Ab  c", "ab c", "\uff41b c ", "AB\tC")
    rows = [{"word": word, "label": label} for label in "xyz" for word in words]
    (data / "kinds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    for seed in range(1, 20):
        drawn = draw_rows(RECIPE.tasks[0], data / "kinds.jsonl", seed)
        assert len({(row["label"], row["rejected"]) for row in drawn}) == 3


def test_a_row_without_a_column_is_named(data: Path) -> None:
    (data / "kinds.jsonl").write_text('{"word": "w", "label": "a"}\n{"word": "w"}\n')

    with pytest.raises(InvalidInputError, match=r"kinds\.jsonl:2: has no column label"):
        draw_rows(RECIPE.tasks[0], data / "kinds.jsonl", 1)


@pytest.mark.tier("test")
def test_what_was_measured_is_a_table_figures_and_a_drawing(
    gateway: FakeGateway, bench: Callable[[Any], list[TaskResult]], tmp_path: Path
) -> None:
    results = bench(gateway.client)

    as_json, as_markdown, drawing = write_report(tmp_path, RECIPE, results)

    kept = json.loads(as_json.read_text())
    assert kept["tasks"][0]["arms"][1]["accuracy"]["value"] == 1.0
    assert kept["recipe"]["tasks"][0]["arms"][0]["name"] == "lora"
    table = as_markdown.read_text()
    assert "| lora, seed 7 | 100.0 % (90.0 to 100.0) | +50.0 (+20.0 to +80.0) | 2 | 6 |" in table
    assert "| dpo after full, seed 4 |" in table
    svg = ElementTree.fromstring(drawing.read_text())  # our own
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "Kinds & <things>" in texts
    assert texts.count("dpo after full") == 2


def test_what_is_missing_is_said_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.model_dump_json())

    status = main(
        [
            *("--state", str(tmp_path / "state"), str(recipe)),
            *("--keep", str(tmp_path / "keep"), "--data", str(tmp_path)),
        ]
    )

    assert status == 2
    assert "kinds.jsonl is missing" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
