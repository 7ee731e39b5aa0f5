"""The schema of recipes is that of the API."""

import json
import runpy
from itertools import product
from pathlib import Path

import pytest
from modelmill_recipes.recipe import Recipe
from modelmill_trainer.domain.methods import METHODS, OBJECTIVES, has_meaning

ROOT = Path(__file__).parents[3]
PACKAGED = ROOT / "libs/recipes/src/modelmill_recipes/recipe.schema.json"


def test_the_packaged_schema_is_made_from_the_api_document() -> None:
    made = runpy.run_path(str(ROOT / "libs/recipes/tools/make_schema.py"))["schema_text"]()
    assert PACKAGED.read_text(encoding="utf-8") == made, "run libs/recipes/tools/make_schema.py"


EXAMPLES = [ROOT / "deploy/demo/recipe.yaml", *sorted((ROOT / "examples").glob("*/recipe.yaml"))]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_schema_accepts_every_example(example: Path) -> None:
    Recipe.load(example)


def test_the_schema_says_with_which_method_and_objective_the_trainer_takes_a_field() -> None:
    schema = json.loads(PACKAGED.read_text(encoding="utf-8"))
    fields = schema["$defs"]["HyperParametersBody"]["properties"]
    for name in {*fields} - {"n_epochs"}:
        condition = fields[name].get("x-applies-to", {})
        for method, objective in product(METHODS, OBJECTIVES):
            told = method in condition.get("training_method", (method,)) and objective in (
                condition.get("objective", (objective,))
            )
            assert told == has_meaning(name, method, objective), (name, method, objective)
