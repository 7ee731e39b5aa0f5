"""The demo's recipe: a word and its meaning to one of WordNet's 25 kinds."""

from functools import cache
from typing import Any

from modelmill_recipes.recipe import Recipe

from modelmill_cli.demo.base import DEMO_FOLDER

RECIPE_FILE = DEMO_FOLDER / "recipe.yaml"


@cache
def demo_recipe() -> Recipe:
    """The recipe of this clone.

    Raises:
        NotFoundError: The working folder is no clone.
    """
    return Recipe.load(RECIPE_FILE)


def demo_mapping() -> dict[str, Any]:
    """How its rows become conversations."""
    mapping: dict[str, Any] = demo_recipe().dataset["mapping"]
    return mapping
