"""Refusals of the API with the line of the recipe."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_client import ApiStatusError
from modelmill_service_kit.errors import InvalidInputError

from modelmill_recipes.recipe import Recipe

REFUSED = frozenset({400, 404, 409, 422})
"""Statuses of what is wrong with an order."""


@contextmanager
def in_section(recipe: Recipe, section: str) -> Iterator[None]:
    """Refusals within are of a section of the recipe, and name its line."""
    try:
        yield
    except ApiStatusError as error:
        if error.status not in REFUSED:
            raise
        messages = error.errors or [error.error.get("message") or error.message]
        raise InvalidInputError([recipe.located(each, section) for each in messages]) from error
