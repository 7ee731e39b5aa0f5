"""The examples of this repository: folders with a recipe, its rows, and what is expected of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from modelmill_recipes.recipe import Recipe

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RECIPE, EXPECTED = "recipe.yaml", "expected.json"

Document = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """One example."""

    folder: Path

    @property
    def name(self) -> str:
        """That of its folder, and of its recipe."""
        return self.folder.name

    @cached_property
    def recipe(self) -> Recipe:
        """As it is written."""
        return Recipe.load(self.folder / RECIPE)

    @property
    def teacher(self) -> str:
        """The alias that it learns from; empty for none."""
        return str(self.recipe.training.get("teacher") or "")

    @property
    def measures(self) -> list[str]:
        """What its evaluation measures; the first one stands for it."""
        found: list[str] = (self.recipe.evaluation or {}).get("measures", [])
        return found

    @property
    def compared_to(self) -> str:
        """The model that answers the same rows."""
        return str((self.recipe.evaluation or {}).get("compare_to", ""))

    @property
    def licences(self) -> list[Path]:
        """Of its rows."""
        return sorted(self.folder.rglob("LICENSE.*"))

    def expected(self) -> Document:
        """What is expected of it, as it was measured."""
        found: Document = json.loads((self.folder / EXPECTED).read_text("utf-8"))
        return found

    def digest(self) -> str:
        """Of recipe and rows: a result stands for nothing else."""
        digest = sha256((self.folder / RECIPE).read_bytes())
        for file in self.recipe.files:
            digest.update(sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def all_examples() -> list[Example]:
    """Those that make teachers first, and their students last."""
    found = [Example(file.parent) for file in sorted(EXAMPLES.glob(f"*/{RECIPE}"))]
    teachers = {one.teacher for one in found}
    return sorted(found, key=lambda one: (bool(one.teacher), one.recipe.alias not in teachers))


def with_teachers(wanted: list[Example]) -> list[Example]:
    """Those that are wanted, with those that make their teachers in front."""
    return [one for one in all_examples() if one in set(_needed(wanted))]


def _needed(wanted: list[Example]) -> Iterator[Example]:
    makers = {one.recipe.alias: one for one in all_examples()}
    for one in wanted:
        yield one
        if one.teacher:
            yield makers[one.teacher]
