"""Writes the JSON Schema of recipes, of which most is the gateway's API document.

python libs/recipes/tools/make_schema.py
"""

import json
import sys
from pathlib import Path

from modelmill_gateway.entrypoints.document.openapi import openapi_document
from modelmill_optimizer_builder.domain.forms import FORMS
from modelmill_recipes.recipe_schema import recipe_schema
from modelmill_trainer.domain.hyper_parameters import BOUNDS

TARGET = Path("libs/recipes/src/modelmill_recipes/recipe.schema.json")


def schema_text() -> str:
    """The file's content."""
    highest = {
        name: {"maximum" if it.high_included else "exclusiveMaximum": it.high}
        for name, it in BOUNDS.items()
    }
    schema = recipe_schema(openapi_document()["components"]["schemas"], FORMS, highest)
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(schema_text(), encoding="utf-8")
    sys.exit(0)
