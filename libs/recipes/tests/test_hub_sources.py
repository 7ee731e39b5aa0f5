"""Recipes whose base or rows are on a hub."""

from pathlib import Path

import pytest
from modelmill_hub.address import HubAddress
from modelmill_recipes.recipe import Recipe
from modelmill_service_kit.errors import InvalidInputError

TEXT = """name: x
base: {base}
data:
  files: {files}
  mapping: {{user_template: "{{q}}", answer_template: "{{a}}"}}
"""


def recipe(tmp_path: Path, *, base: str = "some-base", files: str = "rows.jsonl") -> Path:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    file = tmp_path / "recipe.yaml"
    file.write_text(TEXT.format(base=base, files=files))
    return file


def test_a_base_may_be_on_a_hub(tmp_path: Path) -> None:
    loaded = Recipe.load(recipe(tmp_path, base="hf://org/name@v1"))

    assert loaded.base == HubAddress.parse("hf://org/name@v1")


def test_rows_may_be_on_a_hub_beside_files_and_are_read_behind_them(tmp_path: Path) -> None:
    named = "[hf://datasets/org/rows@main, rows.jsonl]"

    loaded = Recipe.load(recipe(tmp_path, files=named))

    own = (tmp_path / "rows.jsonl").resolve()
    assert loaded.files == (own,)
    assert loaded.hub_files == (HubAddress.parse("hf://datasets/org/rows@main"),)
    here = loaded.with_tables([tmp_path / "a.parquet"])
    assert here.files == (own, tmp_path / "a.parquet")
    assert here.hub_files == ()


@pytest.mark.parametrize(
    ("given", "line", "words"),
    [
        ({"base": "hf://org/a b"}, 2, "base: 'hf://org/a b': is no address of a repository"),
        ({"base": "gs://org/name"}, 2, "base: 'gs://org/name': 'gs' is no hub"),
        ({"base": "hf://datasets/org/name"}, 2, "is a dataset. Give a model: hf://org/name"),
        ({"files": "hf://org/name"}, 4, "is a model. Give a dataset: hf://datasets/org/name"),
        ({"files": "[rows.jsonl, hf://datasets/x]"}, 4, "is no address of a repository"),
    ],
)
def test_a_wrong_address_is_refused_with_its_line(
    tmp_path: Path, given: dict[str, str], line: int, words: str
) -> None:
    file = recipe(tmp_path, **given)
    with pytest.raises(InvalidInputError) as refused:
        Recipe.load(file)
    (error,) = refused.value.errors
    assert error.startswith(f"{file}:{line}: ")
    assert words in error
