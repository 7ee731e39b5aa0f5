"""Suites: folders of lm-eval tasks with their rows, completed so that the API takes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from modelmill_recipes.evaluation_suite import EvaluationSuite, find_suite, suite_folders
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from ruamel.yaml import YAML

ARC = """\
tag:
  - ai2_arc
task: arc_easy
dataset_path: allenai/ai2_arc
dataset_name: ARC-Easy
output_type: multiple_choice
training_split: train
validation_split: validation
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{choices.label.index(answerKey)}}"
doc_to_choice: "{{choices.text}}"
should_decontaminate: true
doc_to_decontamination_query: "Question: {{question}}\\nAnswer:"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
"""As the harness has it."""
SUITE = "name: mine\nlicense: CC-BY-SA-4.0\n"
WIDE = f"include: [{', '.join(['round.yaml'] * 40)}]"
"""Of a file that includes itself: read to any depth it would not end."""


def suite_in(folder: Path, suite: str, **files: str) -> Path:
    for name, text in {"suite": suite, **files}.items():
        ending = "jsonl" if name.startswith("rows") else "yaml"
        (folder / f"{name}.{ending}").write_text(text, encoding="utf-8")
    return folder


def fields_of(config: str) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = YAML(typ="safe").load(config)
    return fields


def test_a_task_of_the_harness_reads_the_files_that_the_suite_names(tmp_path: Path) -> None:
    task = "num_fewshot: 2\ntasks: [{task: arc.yaml, data: {test: rows.jsonl, train: rows2.jsonl}}]"
    suite_in(tmp_path, SUITE + task, arc=ARC, rows="{}\n{}\n", rows2="{}\n\n")

    suite = EvaluationSuite.load(tmp_path)

    assert (suite.name, suite.license, suite.rows) == ("mine", "CC-BY-SA-4.0", 3)
    [task] = suite.tasks
    assert (task.name, [file.name for file in task.files]) == (
        "arc_easy",
        ["rows.jsonl", "rows2.jsonl"],
    )
    fields = fields_of(task.config)
    files = {"test": ["rows.jsonl"], "train": ["rows2.jsonl"]}
    assert (fields["dataset_path"], fields["dataset_kwargs"]) == ("json", {"data_files": files})
    assert "dataset_name" not in fields
    assert fields["doc_to_choice"] == "{{choices.text}}"
    assert (fields["num_fewshot"], fields["fewshot_split"]) == (2, "train")
    assert fields["fewshot_config"] == {"sampler": "first_n"}


def test_what_a_task_includes_stands_below_what_it_says(tmp_path: Path) -> None:
    own = "include: shared.yaml\ntask: own\ndescription: mine\n"
    shared = (
        "output_type: loglikelihood\ndescription: theirs\ndataset_kwargs: {data_files: rows.jsonl}"
    )
    suite_in(tmp_path, SUITE + "tasks: [own.yaml]", own=own, shared=shared, rows="{}")

    [task] = EvaluationSuite.load(tmp_path).tasks

    fields = fields_of(task.config)
    assert (fields["description"], fields["output_type"]) == ("mine", "loglikelihood")
    assert "include" not in fields


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        ("license: MIT\ntasks: [own.yaml]", "name: must be given"),
        ("name: mine\ntasks: [own.yaml]", "license: must be given"),
        (SUITE + "tasks: []", "tasks: must be a list of at least 1 items"),
        (SUITE + "task: [own.yaml]", "unknown field. Did you mean 'tasks'?"),
        (SUITE + "tasks: [none.yaml]", "no file 'none.yaml'"),
        (SUITE + "tasks: [../../etc/passwd]", "is not in the suite's folder. Copy it there"),
        (SUITE + "tasks: [link.yaml]", "is not in the suite's folder. Copy it there"),
        (SUITE + "tasks: [{task: own.yaml, data: {test: /etc/passwd}}]", "is not in the suite's"),
        (SUITE + "tasks: [own.yaml, own.yaml]", "two tasks are called 'own'. Rename one"),
        (SUITE + "tasks: [bare.yaml]", "names no data files. Name them in suite.yaml"),
        (SUITE + "tasks: [round.yaml]", "includes over 32 files"),
        (SUITE + "tasks: [list.yaml]", "must be a mapping"),
        ("a: &a [1]\nb: [*a, *a]", "suite.yaml:2: YAML aliases are not read here"),
        (SUITE + "num_fewshot: 1000\ntasks: [own.yaml]", "num_fewshot: must be a whole number"),
    ],
)
def test_a_suite_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, suite: str, said: str
) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("task: other", encoding="utf-8")
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(outside)
    own = "task: own\ndataset_kwargs: {data_files: rows.jsonl}"
    files = {"bare": "task: bare", "round": WIDE, "list": "[1]"}
    suite_in(folder, suite, own=own, rows="{}", **files)

    with pytest.raises(InvalidInputError) as refused:
        EvaluationSuite.load(folder)

    assert said in "; ".join(refused.value.errors)


def test_a_suite_is_found_by_folder_by_name_in_own_folders_and_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "suites" / "mine"
    own.mkdir(parents=True)
    task = "task: own\ndataset_kwargs: {data_files: rows.jsonl}"
    suite_in(own, SUITE + "tasks: [own.yaml]", own=task, rows="{}")

    assert find_suite(str(own)).name == "mine"
    assert find_suite("suites/mine", tmp_path).name == "mine"
    assert find_suite("wordnet").license == "WordNet-3.0"
    with pytest.raises(NotFoundError, match="Did you mean 'wordnet'"):
        find_suite("wordnett")
    monkeypatch.setenv("MODELMILL_SUITES", str(own.parent))
    assert find_suite("mine").folder == own


@pytest.mark.parametrize("name", ["wordnet", "reviews_zh"])
def test_each_built_in_suite_has_rows_and_their_licence(name: str) -> None:
    suite = EvaluationSuite.load(suite_folders()[name])

    assert suite.rows == 100 * len(suite.tasks)
    assert (suite.folder / "LICENSE").is_file()
