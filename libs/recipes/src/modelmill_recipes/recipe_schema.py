"""The JSON Schema of recipes: our own fields, and the API's for what the API takes."""

from collections.abc import Collection, Mapping
from typing import Any

from modelmill_evaluation.score_names import MEASURES

COMPONENTS = "#/components/schemas/"
DEFINITIONS = "#/$defs/"

Schema = dict[str, Any]

NAME: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
    "maxLength": 64,
}
FILES: Schema = {
    "description": "Files of rows, relative to the recipe: a path, a glob, a dataset on a hub"
    " (hf://datasets/org/name@revision), or a list of them.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    ],
}
SUITE: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "Suite of tasks to run beside the dataset: a name in `mill eval suites`, or a"
    " folder, relative to the recipe.",
}
JUDGE: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "File of a judge (`mill eval judge`), relative to the recipe. It scores the"
    " answers; a protection of measure `judge` bounds its mean score.",
}
FIRST: dict[str, Schema] = {
    "name": {**NAME, "description": "Name of the recipe, its dataset and its model."},
    "base": {
        "type": "string",
        "minLength": 1,
        "description": "Base model: a folder (with a slash in it), a model on a hub"
        " (hf://org/name@revision), or a version or name.",
    },
}
"""Our own fields, as they stand in a recipe before the sections."""
LAST: dict[str, Schema] = {
    "alias": {**NAME, "description": "Alias to move to the model; defaults to `name`."},
    "default": {
        "type": "boolean",
        "description": "Also make it the model that is asked where none is named.",
    },
    "require_learned": {
        "type": "boolean",
        "default": True,
        "description": "Whether the alias stays where it is when training says that the"
        " model did not learn.",
    },
}
"""Those behind them."""
PRUNING = (
    "What is cut away from the base, as `pruning` of `POST /v1/optimizations`. The rest is trained"
    " to predict what the base does, unless `training` says otherwise."
)
SECTIONS: dict[str, tuple[str, frozenset[str], str]] = {
    "data": (
        "DatasetBody",
        frozenset({"file_id", "file_ids", "name", "priority"}),
        "Dataset: the files, and what `POST /v1/datasets` takes.",
    ),
    "training": (
        "FineTuningBody",
        frozenset(
            {"model", "training_file", "suffix", "validation_file", "integrations", "priority"}
        ),
        "Fine-tuning: what `POST /v1/fine_tuning/jobs` takes; everything has a default.",
    ),
    "evaluation": (
        "EvaluationBody",
        frozenset({"model", "dataset_id", "tasks", "priority", "suite", "with_prompts"}),
        "Evaluation before the alias moves: what `POST /v1/evaluations` takes."
        " A protection that is not met leaves the alias where it is.",
    ),
    "optimizations": (
        "OptimizationBody",
        frozenset({"model", "dataset_id", "priority"}),
        "Builds, and searches for an objective: what `POST /v1/optimizations` takes.",
    ),
    "policy": (
        "PolicyBody",
        frozenset({"documents", "dry_run", "expected_digest"}),
        "Moderation policy of the tenant: its files, and what `PUT /v1/moderation/policy` takes.",
    ),
    "limits": (
        "LimitsBody",
        frozenset(),
        "Limits of the tenant: what `PUT /v1/budget` takes.",
    ),
}
"""Sections by name: the API's body, the fields of it that a recipe fills in itself, and words."""


def recipe_schema(
    components: Mapping[str, Schema], forms: Collection[str], highest: Mapping[str, Schema]
) -> Schema:
    """The schema of a recipe.

    Args:
        components: `components.schemas` of the gateway's OpenAPI document.
        forms: That can be built.
        highest: Upper limits of hyper-parameters, which the API leaves to the trainer: `maximum` or
            `exclusiveMaximum` by name.
    """
    definitions: dict[str, Schema] = {}
    sections = _sections(components, definitions)
    sections["optimizations"]["properties"]["target_form"]["enum"] = sorted(forms)
    _bound(definitions["HyperParametersBody"]["properties"], highest)
    pruning = _moved({"$ref": f"{COMPONENTS}PruningBody"}, components, definitions)
    many = {"type": "array", "items": sections.pop("optimizations"), "maxItems": 16}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Modelmill recipe",
        "description": "From rows to a served model: `mill run recipe.yaml`.",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "base", "data"],
        "properties": {
            **FIRST,
            "data": sections["data"],
            "pruning": {**pruning, "description": PRUNING},
            **{name: sections[name] for name in ("training", "evaluation")},
            "optimizations": many,
            **LAST,
            "policy": sections["policy"],
            "limits": sections["limits"],
        },
        "$defs": dict(sorted(definitions.items())),
    }


def _sections(
    components: Mapping[str, Schema], definitions: dict[str, Schema]
) -> dict[str, Schema]:
    """All of them, with the fields that recipes alone have."""
    sections = {name: _section(name, components, definitions) for name in SECTIONS}
    data, evaluation, policy = (sections[name] for name in ("data", "evaluation", "policy"))
    data["properties"] = {"files": FILES, **data["properties"]}
    data["required"] = ["files", "mapping"]
    evaluation["properties"] = {"suite": SUITE, "judge": JUDGE, **evaluation["properties"]}
    evaluation["properties"]["measures"]["items"]["enum"] = [*MEASURES]
    rules = {**FILES, "description": "YAML files of rules, relative to the recipe."}
    policy["properties"] = {"files": rules, **policy["properties"]}
    policy["required"] = ["files"]
    return sections


def _bound(fields: Mapping[str, Schema], highest: Mapping[str, Schema]) -> None:
    for name, limit in highest.items():
        for each in fields[name].get("anyOf", [fields[name]]) if name in fields else ():
            if each.get("type") in ("integer", "number"):
                each.pop("exclusiveMaximum", None)
                each |= limit


def _section(name: str, components: Mapping[str, Schema], definitions: dict[str, Schema]) -> Schema:
    body, filled, description = SECTIONS[name]
    found = components[body]
    fields = {key: each for key, each in found["properties"].items() if key not in filled}
    required = [each for each in found.get("required", ()) if each not in filled]
    return {
        "type": "object",
        "additionalProperties": False,
        "description": description,
        **({"required": required} if required else {}),
        "properties": _moved(fields, components, definitions),
    }


def _moved(value: Any, components: Mapping[str, Schema], definitions: dict[str, Schema]) -> Any:
    """A part of the API's schema with its references turned to ours, and what they refer to
    taken along; titles, which repeat names, are left out."""
    if isinstance(value, list):
        return [_moved(each, components, definitions) for each in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref", "")
    name = reference.removeprefix(COMPONENTS)
    if name != reference and name not in definitions:
        definitions[name] = {}  # it may refer to itself
        definitions[name] = _moved(components[name], components, definitions)
    # A property may be called "title"; the word of a schema is a text.
    moved = {
        key: _moved(each, components, definitions)
        for key, each in value.items()
        if not (key == "title" and isinstance(each, str)) and key != "examples"
    }
    return {**moved, "$ref": DEFINITIONS + name} if reference else moved
