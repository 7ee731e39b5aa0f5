"""The schema of recipes is that of the API."""

import runpy
from pathlib import Path

import pytest
from modelmill_recipes.recipe import Recipe

ROOT = Path(__file__).parents[3]
PACKAGED = ROOT / "libs/recipes/src/modelmill_recipes/recipe.schema.json"


def test_the_packaged_schema_is_made_from_the_api_document() -> None:
    made = runpy.run_path(str(ROOT / "libs/recipes/tools/make_schema.py"))["schema_text"]()
    assert PACKAGED.read_text(encoding="utf-8") == made, "run libs/recipes/tools/make_schema.py"


EXAMPLES = [ROOT / "deploy/demo/recipe.yaml", *sorted((ROOT / "examples").glob("*/recipe.yaml"))]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_schema_accepts_every_example(example: Path) -> None:
    Recipe.load(example)
