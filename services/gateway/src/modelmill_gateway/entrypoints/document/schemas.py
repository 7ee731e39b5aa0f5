"""JSON schemas of request and response models, and examples put together from their fields'."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from modelmill_gateway.entrypoints.schemas.parsing import OpenBody, StrictBody

SCHEMAS = "#/components/schemas/"
LISTS = re.compile(r"(Page|Whole)(List)?\[(\w+)\]")


class _Generator(GenerateJsonSchema):
    """Pydantic's, for which constants of responses are always there."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Whether a field is never absent."""
        inner = field["schema"]
        if self.mode == "serialization" and inner["type"] == "default":
            return inner.get("default") is not None
        return super().field_is_required(field, total)

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        """Of typed dicts, which have no other fields either."""
        return {**super().typed_dict_schema(schema), "additionalProperties": False}

    def normalize_name(self, name: str) -> str:
        """For example `FilePage` for `Page[File]`."""
        return super().normalize_name(LISTS.sub(lambda it: f"{it[3]}{it[2] or it[1]}", name))


class Schemas:
    """The schemas of some models."""

    def __init__(self, models: Iterable[type[Any]]) -> None:
        inputs: Any = [(it, _mode(it), TypeAdapter(it)) for it in dict.fromkeys(models)]
        refs, made = TypeAdapter.json_schemas(
            inputs,
            ref_template=SCHEMAS + "{model}",
            schema_generator=_Generator,
        )
        self._refs = {model: schema for (model, _), schema in refs.items()}
        self.definitions: dict[str, Any] = made.get("$defs", {})
        """By their names."""

    def ref(self, model: type[Any]) -> dict[str, Any]:
        """Where the model's schema is."""
        return self._refs[model]

    def example(self, model: type[Any]) -> Any:
        """An example, of the examples of its fields."""
        return self._example(self._refs[model])

    def _example(self, schema: Mapping[str, Any]) -> Any:
        if "examples" in schema:
            return schema["examples"][0]
        if "$ref" in schema:
            return self._example(self.definitions[schema["$ref"].removeprefix(SCHEMAS)])
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else schema["enum"][0]
        if "anyOf" in schema:
            return self._of_union(schema["anyOf"])
        kind = schema.get("type")
        if kind == "object":
            return self._of_object(schema)
        if kind == "array":
            items = schema.get("items", {})
            return [self._example(items)] if "$ref" in items or "anyOf" in items else []
        return {"string": "", "integer": 0, "number": 0.0, "boolean": False}.get(str(kind))

    def _of_object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that are always there, and others that have examples."""
        required = schema.get("required", ())
        fields = schema.get("properties", {}).items()
        return {
            name: self._example(field)
            for name, field in fields
            if name in required or "examples" in field
        }

    def _of_union(self, branches: list[Mapping[str, Any]]) -> Any:
        """The first; of what may be null nothing, unless it is a value with an example."""
        is_open = not any(branch.get("type") == "null" for branch in branches)
        first = branches[0]
        is_shown = is_open or "examples" in first or "enum" in first
        return self._example(first) if is_shown else None


def _mode(model: type[Any]) -> JsonSchemaMode:
    return "validation" if issubclass(model, OpenBody | StrictBody) else "serialization"
