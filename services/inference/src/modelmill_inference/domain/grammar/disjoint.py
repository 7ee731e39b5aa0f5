"""Whether no value can be right by two schemas. What cannot be seen at a glance counts as no."""

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

Resolve = Callable[[Any], Any]
"""The schema itself behind a reference."""

TYPES = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})


def are_disjoint(schemas: Sequence[Any], resolve: Resolve) -> bool:
    """Each of them from each other."""
    return all(
        _two(resolve(one), resolve(other), resolve) for one, other in combinations(schemas, 2)
    )


def _two(one: Any, other: Any, resolve: Resolve) -> bool:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one is False or other is False
    if _types(one).isdisjoint(_types(other)):
        return True
    mine, yours = _values(one), _values(other)
    if mine is not None and yours is not None:
        return mine.isdisjoint(yours)
    return _by_a_property(one, other, resolve)


def _types(schema: dict[str, Any]) -> set[str]:
    """Those that it takes; whole numbers are numbers too."""
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return {_type(value) for value in values} if isinstance(values, list) else set(TYPES)
    said = schema.get("type", list(TYPES))
    types = {said} if isinstance(said, str) else {one for one in said if isinstance(one, str)}
    return types - {"integer"} | {"number"} if "integer" in types else types


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def _values(schema: dict[str, Any]) -> set[str] | None:
    """Its values, each in one spelling; None if it does not list them."""
    if "const" in schema:
        return {_spelled(schema["const"])}
    values = schema.get("enum")
    return set(map(_spelled, values)) if isinstance(values, list) else None


def _spelled(value: Any) -> str:
    """The same for equal values: 1 and 1.0 are equal to JSON Schema."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(k)}:{_spelled(value[k])}' for k in sorted(value))}}}"
    return json.dumps(value)


def _by_a_property(one: dict[str, Any], other: dict[str, Any], resolve: Resolve) -> bool:
    """Both are objects that must have a property with values of their own."""
    if _types(one) != {"object"} or _types(other) != {"object"}:
        return False
    mine, yours = one.get("properties"), other.get("properties")
    if not isinstance(mine, dict) or not isinstance(yours, dict):
        return False
    for name in mine.keys() & yours.keys():
        if _requires(one, name) and _requires(other, name):
            values = [resolve(schema) for schema in (mine[name], yours[name])]
            sets = [_values(value) for value in values if isinstance(value, dict)]
            if len(sets) == 2 and None not in sets and sets[0].isdisjoint(sets[1] or ()):  # type: ignore[union-attr]
                return True
    return False


def _requires(schema: dict[str, Any], name: str) -> bool:
    required = schema.get("required")
    return isinstance(required, list) and name in required
