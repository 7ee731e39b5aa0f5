"""A recipe is read whole, or every error in it is named with its line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from modelmill_recipes.orders import (
    evaluation_order,
    pruning_order,
    step_names,
    training_order,
)
from modelmill_recipes.recipe import Recipe
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

Change = Callable[[str], str]


def errors_in(file: Path) -> list[str]:
    with pytest.raises(InvalidInputError) as raised:
        Recipe.load(file)
    return raised.value.errors


def changed(file: Path, old: str, new: str) -> int:
    """Replaces a part that is there once; the line of it."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_the_example_is_read(recipe_file: Path) -> None:
    recipe = Recipe.load(recipe_file)
    assert recipe.files == (recipe_file.parents[1].resolve() / "demo" / "wordnet_nouns.jsonl",)
    assert (recipe.name, recipe.alias, recipe.base) == (
        "wordnet-kinds",
        "wordnet",
        "smollm2-135m-instruct",
    )
    assert recipe.dataset["mapping"]["answer_template"] == "{label}"
    assert "files" not in recipe.dataset


TYPOS = [
    ("name:", "nam:", "name"),
    ("base:", "bases:", "base"),
    ("data:", "dta:", "data"),
    ("training:", "trainig:", "training"),
    ("evaluation:", "evalution:", "evaluation"),
    ("alias:", "aliass:", "alias"),
    ("  files:", "  file:", "files"),
    ("mapping:", "maping:", "mapping"),
    ("system_template:", "sytem_template:", "system_template"),
    ("user_template:", "usr_template:", "user_template"),
    ("answer_template:", "answer_tmplate:", "answer_template"),
    ("shares:", "share:", "shares"),
    ("max_test_rows:", "max_tst_rows:", "max_test_rows"),
    ("duplicates:", "duplicate:", "duplicates"),
    ("near_threshold:", "near_treshold:", "near_threshold"),
    ("training_method:", "trainingmethod:", "training_method"),
    ("hyperparameters:", "hyper_parameters:", "hyperparameters"),
    ("epochs:", "epoch:", "epochs"),
    ("batch_size:", "batchsize:", "batch_size"),
    ("learning_rate:", "learnin_rate:", "learning_rate"),
    ("measures:", "measure:", "measures"),
    ("protections:", "protection:", "protections"),
    ("worst:", "wurst:", "worst"),
    ("- measure:", "- mesure:", "measure"),
]
WRONG_VALUES = [
    ("name: wordnet-kinds", "name: wordnet kinds", "name"),
    ("name: wordnet-kinds", "name: 8", "name"),
    ("name: wordnet-kinds", "name:", "name"),
    ("base: smollm2-135m-instruct", "base: [a]", "base"),
    ("base: smollm2-135m-instruct", "base: ./none", "base"),
    ("files: ../demo/wordnet_nouns.jsonl", "files: ../demo/wordnet_noun.jsonl", "data.files"),
    ("files: ../demo/wordnet_nouns.jsonl", "files: ../demo/*.csv", "data.files"),
    ("files: ../demo/wordnet_nouns.jsonl", "files: []", "data.files"),
    ("files: ../demo/wordnet_nouns.jsonl", "files: {a: b}", "data.files"),
    ("shares: {train: 0.78, valid: 0.05, test: 0.17}", "shares: 0.78", "data.shares"),
    (
        "shares: {train: 0.78, valid: 0.05, test: 0.17}",
        "shares: {train: 1, valid: 0, tests: 0}",
        "data.shares.tests",
    ),
    ("valid: 0.05", "valid: 1.05", "data.shares.valid"),
    ("max_test_rows: 200", "max_test_rows: many", "data.max_test_rows"),
    ("max_test_rows: 200", "max_test_rows: -1", "data.max_test_rows"),
    ("max_test_rows: 200", "max_test_rows: 0.5", "data.max_test_rows"),
    ("near_threshold: 0.9", "near_threshold: 9", "data.duplicates.near_threshold"),
    ("training_method: lora", "training_method: lroa", "training.training_method"),
    ("training_method: lora", "training_method: 4", "training.training_method"),
    ("epochs: 1", "epochs: 0", "training.hyperparameters.epochs"),
    ("epochs: 1", "epochs: one", "training.hyperparameters.epochs"),
    ("batch_size: 16", "batch_size: 16.5", "training.hyperparameters.batch_size"),
    ("batch_size: 16", "batch_size: [16]", "training.hyperparameters.batch_size"),
    ("learning_rate: auto", "learning_rate: best", "training.hyperparameters.learning_rate"),
    ("learning_rate: auto", "learning_rate: 40", "training.hyperparameters.learning_rate"),
    ("batch_size: 16", "batch_size: 100000", "training.hyperparameters.batch_size"),
    ("measures: [accuracy]", "measures: accuracy", "evaluation.measures"),
    ("measures: [accuracy]", "measures: [acuracy]", "evaluation.measures.0"),
    (
        "alias: wordnet",
        "optimizations: [{target_form: openvino-int3}]",
        "optimizations.0.target_form",
    ),
    ("worst: 0.5", "worst: half", "evaluation.protections.0.worst"),
    ("alias: wordnet", "alias: word net", "alias"),
    ("alias: wordnet", "alias: wordnet\ndefault: maybe", "default"),
]


@pytest.mark.parametrize(("old", "new", "meant"), TYPOS)
def test_a_misspelt_field_is_refused_with_its_line_and_the_one_that_is_meant(
    recipe_file: Path, old: str, new: str, meant: str
) -> None:
    line = changed(recipe_file, old, new)
    (error,) = errors_in(recipe_file)
    assert error.startswith(f"{recipe_file}:{line}: ")
    assert "unknown field" in error
    assert f"Did you mean {meant!r}?" in error


@pytest.mark.parametrize(("old", "new", "field"), WRONG_VALUES)
def test_a_wrong_value_is_refused_with_its_line_and_field(
    recipe_file: Path, old: str, new: str, field: str
) -> None:
    line = changed(recipe_file, old, new) + new.count("\n")
    (error,) = errors_in(recipe_file)
    assert error.startswith(f"{recipe_file}:{line}: {field}: ")


def test_all_errors_are_named_in_the_order_of_their_lines(recipe_file: Path) -> None:
    lines = [
        changed(recipe_file, old, new)
        for old, new in (("worst: 0.5", "worst: half"), ("seed: 7\n  dup", "sed: 7\n  dup"))
    ]
    errors = errors_in(recipe_file)
    assert [int(error.split(":")[1]) for error in errors] == sorted(lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: [", ":1: not YAML"),
        ("name: a\nname: b\n", ":2: not YAML: found duplicate key"),
        ("- a\n", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_what_is_no_recipe_at_all_is_refused_in_one_line(
    tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(content)
    (error,) = errors_in(file)
    assert said in error


def test_a_recipe_that_is_no_utf8_says_at_which_byte(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes("name: 好".encode("gb18030"))
    (error,) = errors_in(file)
    assert "not UTF-8 at byte 6" in error


def test_a_number_in_scientific_notation_is_a_number_and_no_is_a_word(recipe_file: Path) -> None:
    changed(recipe_file, "learning_rate: auto", "learning_rate: 1e-4")
    changed(recipe_file, "system_template: Name the kind of thing.", "system_template: no")
    recipe = Recipe.load(recipe_file)
    assert recipe.training["hyperparameters"]["learning_rate"] == 1e-4
    assert recipe.dataset["mapping"]["system_template"] == "no"


def test_files_are_those_of_paths_and_globs_each_once_in_their_order(recipe_file: Path) -> None:
    folder = recipe_file.parent / "more"
    folder.mkdir()
    for name in ("b.jsonl", "a.jsonl", "c.csv"):
        (folder / name).write_text("word\n")
    listed = 'files: [more/c.csv, "more/*.jsonl", "more/a*"]'
    changed(recipe_file, "files: ../demo/wordnet_nouns.jsonl", listed)
    names = [file.name for file in Recipe.load(recipe_file).files]
    assert names == ["c.csv", "a.jsonl", "b.jsonl"]

    line = changed(recipe_file, '"more/a*"', '"more/*.xlsx"')
    (error,) = errors_in(recipe_file)
    assert error.startswith(f"{recipe_file}:{line}: data.files: no file 'more/*.xlsx'")


@pytest.mark.parametrize(
    ("message", "section", "field"),
    [
        ("mapping.user_template: no column", "data", "    user_template:"),
        ("batch_size must be at most 4", "training", "    batch_size:"),
        ("worst: must be below 1", "evaluation", "      worst:"),
        ("b.csv: unknown column 'gloss'. The file has 'word'", "data", "    user_template:"),
        ("no model 'x'", "base", "base:"),
        ("something else is wrong", "training", "training:"),
    ],
)
def test_an_error_of_the_api_has_the_line_of_the_field_that_it_names(
    recipe_file: Path, message: str, section: str, field: str
) -> None:
    lines = recipe_file.read_text(encoding="utf-8").splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if text.startswith(field)]
    located = Recipe.load(recipe_file).located(message, section)
    assert located == f"{recipe_file}:{line}: {message}"


def test_a_suite_is_found_beside_the_recipe_and_its_tasks_are_ordered(recipe_file: Path) -> None:
    folder = recipe_file.parent / "exams"
    folder.mkdir()
    (folder / "suite.yaml").write_text("name: exams\nlicense: MIT\ntasks: [own.yaml]\n")
    (folder / "own.yaml").write_text("task: own\ndataset_kwargs: {data_files: rows.jsonl}\n")
    (folder / "rows.jsonl").write_text("{}\n")
    changed(recipe_file, "evaluation:\n", "evaluation:\n  suite: ./exams\n")

    recipe = Recipe.load(recipe_file)
    ids = {(folder / "rows.jsonl").resolve(): "file-1"}
    order = evaluation_order(recipe, "mv-1", "ds-1", ids)
    assert order is not None
    assert order.body["suite"] == {"name": "exams", "license": "MIT"}
    assert [task["data_file_ids"] for task in order.body["tasks"]] == [["file-1"]]
    assert order.body["measures"] == ["accuracy"]

    changed(recipe_file, "./exams", "./exams/none")
    (error,) = errors_in(recipe_file)
    assert "evaluation.suite: no suite './exams/none'" in error
    changed(recipe_file, "./exams/none", "./exams")
    (folder / "suite.yaml").write_text("name: exams\ntasks: [none.yaml]\n")
    assert any("license: must be given" in error for error in errors_in(recipe_file))


def pruned_recipe(file: Path, training: str = "{}") -> Recipe:
    text = file.read_text(encoding="utf-8")
    data = text[text.index("data:") : text.index("training:")]
    file.write_text(
        f"name: small\nbase: wordnet\n{data}pruning: {{heads: 0.33}}\ntraining: {training}\n",
        encoding="utf-8",
    )
    return Recipe.load(file)


def test_a_pruned_base_learns_all_its_weights_from_the_whole_one(recipe_file: Path) -> None:
    recipe = pruned_recipe(recipe_file)

    pruned = pruning_order(recipe, "mv-whole", "ds-1")
    assert pruned is not None
    assert pruned.body == {
        "target_form": "pruned",
        "pruning": {"heads": 0.33},
        "model": "mv-whole",
        "dataset_id": "ds-1",
    }
    body = training_order(recipe, "mv-pruned", "ds-1", "mv-whole").body
    taught = {"objective": "distillation", "teacher": "mv-whole", "training_method": "full"}
    assert taught.items() <= body.items()
    assert step_names(recipe)[2:4] == ["pruning", "training"]


@pytest.mark.parametrize(
    ("training", "teacher", "objective", "method"),
    [
        ("{objective: answers}", None, "answers", None),
        ("{method: {type: dpo}}", None, None, None),
        ("{teacher: another}", "another", "distillation", "full"),
        ("{training_method: lora}", "mv-whole", "distillation", "lora"),
    ],
)
def test_what_a_recipe_says_of_the_training_of_a_pruned_base_is_done(
    recipe_file: Path, training: str, teacher: str | None, objective: str | None, method: str | None
) -> None:
    body = training_order(pruned_recipe(recipe_file, training), "mv", "ds-1", "mv-whole").body

    assert body.get("teacher") == teacher
    assert body.get("objective") == objective
    assert body.get("training_method") == method


def test_without_pruning_nothing_is_cut_or_taught(recipe_file: Path) -> None:
    recipe = Recipe.load(recipe_file)

    assert pruning_order(recipe, "mv-whole", "ds-1") is None
    assert "teacher" not in training_order(recipe, "mv-whole", "ds-1").body
    assert "pruning" not in step_names(recipe)


def test_a_recipe_that_is_not_there_is_taken_for_its_neighbour(recipe_file: Path) -> None:
    with pytest.raises(NotFoundError, match=r"Did you mean 'wordnet\.yaml'\?"):
        Recipe.load(recipe_file.with_name("wordnt.yaml"))


def test_a_judge_is_read_beside_the_recipe_and_its_bound_is_none_of_the_apis(
    recipe_file: Path,
) -> None:
    (recipe_file.parent / "judge.yaml").write_text("name: j\n")
    changed(recipe_file, "evaluation:\n", "evaluation:\n  judge: judge.yaml\n")
    changed(recipe_file, "protections:\n", "protections:\n    - {measure: judge, worst: 0.7}\n")
    recipe = Recipe.load(recipe_file)
    assert recipe.judge is not None
    assert (recipe.judge.file.name, recipe.judge.worst) == ("judge.yaml", 0.7)
    order = evaluation_order(recipe, "mv-1", "ds-1", {})
    assert order is not None
    assert order.body["with_prompts"] is True
    assert "judge" not in order.body
    assert [each["measure"] for each in order.body["protections"]] == ["accuracy"]


@pytest.mark.parametrize(
    ("judge", "bounds", "said"),
    [
        ("judge.yml", "{measure: judge, worst: 0.7}", "evaluation.judge: no file 'judge.yml'"),
        ("", "{measure: judge, worst: 0.7}", "protections.0: bounds a judge. Name its file"),
        ("judge.yaml", "{measure: judge}", "protections.0: bounds a judge. Give `worst`"),
        ("judge.yaml", "{measure: judge, worst: null}", "Give `worst`"),
        (
            "judge.yaml",
            "{measure: judge, worst: 0.7, slice_by: script, slice_value: han}",
            "and nothing else",
        ),
        ("judge.yaml", "{measure: judge, largest_loss: 0.1}", "and nothing else"),
        (
            "judge.yaml",
            "{measure: judge, worst: 0.7}\n    - {measure: judge, worst: 0.8}",
            "protections.1: the second",
        ),
    ],
)
def test_a_judge_that_cannot_decide_as_the_recipe_says_is_refused_with_its_line(
    recipe_file: Path, judge: str, bounds: str, said: str
) -> None:
    (recipe_file.parent / "judge.yaml").write_text("name: j\n")
    if judge:
        changed(recipe_file, "evaluation:\n", f"evaluation:\n  judge: {judge}\n")
    changed(recipe_file, "protections:\n", f"protections:\n    - {bounds}\n")
    (error,) = errors_in(recipe_file)
    assert error.startswith(f"{recipe_file}:")
    assert said in error
