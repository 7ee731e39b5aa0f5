"""An example has a recipe that passes `mill recipe check`, licensed rows, and expected results."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from modelmill_cli.app import run_app

from tests.examples.example import EXAMPLES, Document, Example, all_examples
from tests.examples.result import table_of

EVERY = pytest.mark.parametrize("example", all_examples(), ids=lambda it: it.name)
MOST_BYTES = 300_000
"""Of a file of rows: a clone carries them all."""
OF_A_RUN = {"commit", "date", "machine", "command", "inputs", "seconds", "load_average_before"}
OF_A_FIGURE = {"name", "value", "low", "high", "rows", "how"}


def test_there_is_an_example_of_each_sort() -> None:
    objectives = {it.recipe.training.get("objective", "answers") for it in all_examples()}
    assert len(all_examples()) == 8
    assert {"answers", "text", "dpo"} <= objectives
    assert [it.name for it in all_examples() if it.teacher] == ["distillation"]


@EVERY
def test_its_recipe_passes_the_check(example: Example, tmp_path: Path) -> None:
    words = ("recipe", "check", str(example.folder / "recipe.yaml"))
    assert run_app(["--state", str(tmp_path), *words]) == 0


@EVERY
def test_it_has_the_name_of_its_folder_and_an_alias_of_its_own(example: Example) -> None:
    assert example.recipe.name == example.name
    assert [it.name for it in all_examples() if it.recipe.alias == example.recipe.alias] == [
        example.name
    ]


@EVERY
def test_its_rows_are_its_own_small_and_licensed(example: Example) -> None:
    assert example.recipe.files
    assert all(file.is_relative_to(example.folder) for file in example.recipe.files)
    assert max(file.stat().st_size for file in example.recipe.files) <= MOST_BYTES
    assert example.licences
    assert all(file.stat().st_size > 100 for file in example.licences)
    readme = (example.folder / "README.md").read_text("utf-8")
    assert readme.startswith(f"# {example.name}: ")
    assert f"mill run examples/{example.name}/recipe.yaml" in readme
    assert "`expected.json`" in readme


@EVERY
def test_it_is_measured_beside_another_model(example: Example) -> None:
    assert example.measures
    assert example.compared_to


@EVERY
def test_a_result_is_expected_of_it(example: Example) -> None:
    expected = example.expected()
    assert expected["base"] == example.recipe.base
    is_measured = expected["measured"] is not None and bool(expected["figures"])
    assert is_measured, f"measure it: make examples-keep ARGS='--only {example.name}'"


@EVERY
def test_what_is_expected_says_how_and_of_what_it_was_measured(example: Example) -> None:
    expected = example.expected()
    assert expected["measured"].keys() >= OF_A_RUN
    assert expected["measured"]["inputs"] == example.digest(), "rows or recipe have changed since"
    names = [figure["name"] for figure in expected["figures"]]
    assert names[: len(example.measures)] == example.measures
    for figure in expected["figures"]:
        check_figure(figure)


def check_figure(figure: Document) -> None:
    assert figure.keys() >= OF_A_FIGURE
    numbers = [figure]
    if "compared_to" in figure:
        numbers += [figure["compared_to"], figure["difference"]]
    assert all(each["low"] <= each["value"] <= each["high"] for each in numbers)


def test_the_readme_has_every_example_and_what_was_measured() -> None:
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    assert [it.name for it in all_examples() if f"]({it.name}/README.md)" not in readme] == []
    assert table_of(all_examples()) in readme


def test_no_two_conversations_have_the_same_notes() -> None:
    lines = (EXAMPLES / "instruction-chat" / "conversations.jsonl").read_text("utf-8").splitlines()
    notes = [json.loads(line)["messages"][0]["content"] for line in lines]
    assert len(set(notes)) == len(notes) == 480


def test_anyone_writes_the_same_conversations_again(tmp_path: Path) -> None:
    own, made = EXAMPLES / "instruction-chat", tmp_path / "made.jsonl"
    subprocess.run([sys.executable, str(own / "make_rows.py"), str(made)], check=True)
    assert made.read_bytes() == (own / "conversations.jsonl").read_bytes()


def test_no_word_is_in_two_examples() -> None:
    files = {
        "wordnet-kinds": "wordnet_nouns.jsonl",
        "preference": "pairs.jsonl",
        "distillation": "words.jsonl",
    }
    words = [words_of(EXAMPLES / name / file) for name, file in files.items()]
    assert [sorted(one & two) for at, one in enumerate(words) for two in words[:at]] == [[]] * 3


def words_of(file: Path) -> set[str]:
    """Of rows that are whole; some of one file are not, on purpose."""
    found = set()
    for line in file.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("word"), str):
            found.add(row["word"])
    return found
