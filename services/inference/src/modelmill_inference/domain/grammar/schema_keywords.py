"""JSON schemas: the parsed document, and its supported keywords with checked values."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

Resolve = Callable[[Any], Any]
"""The schema itself behind a reference."""

TYPES = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})
MAX_CHARACTERS = 64_000
MAX_DEPTH = 64
_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs"}
    | {"definitions", "deprecated", "readOnly", "writeOnly"}
)
_UNDERSTOOD = frozenset(
    {"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"}
    | {"properties", "required", "additionalProperties"}
    | {"items", "prefixItems", "minItems", "maxItems"}
    | {"minLength", "maxLength", "pattern", "format"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
)
MAX_LISTED = 1_000
MAX_COUNT = 1_000_000_000
MAX_BOUND = 10**15


def are_disjoint(schemas: Sequence[Any], resolve: Resolve) -> bool:
    """Whether no value is valid by two of the schemas; False if that is not obvious."""
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


class SchemaDocument:
    """A JSON schema as a caller sent it: parsed once, with its references and their cycles."""

    def __init__(self, text: str) -> None:
        self.root = _parsed(text)
        self._loops: dict[str, bool] = {}
        self._called: dict[str, list[str]] = {}

    def at(self, reference: str) -> Any:
        """What a local reference, as `#/$defs/node`, points to.

        Raises:
            InvalidInputError: it leaves the document or points to nothing.
        """
        if reference != "#" and not reference.startswith("#/"):
            raise InvalidInputError("only references within the schema, as #/$defs/x, are followed")
        found = self.root
        for part in reference.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key[:9]) < len(found):
                found = found[int(key)]
            else:
                raise InvalidInputError(f"{reference[:80]!r} points to nothing")
        return found

    def resolved(self, schema: Any) -> Any:
        """The schema behind a chain of references; None when it has no end."""
        seen: set[str] = set()
        while isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
            if schema["$ref"] in seen:
                return None
            seen.add(schema["$ref"])
            try:
                schema = self.at(schema["$ref"])
            except InvalidInputError:
                return None
        return schema

    def is_recursive(self, reference: str) -> bool:
        """Whether what it points to contains it again."""
        if reference not in self._loops:
            seen: set[str] = set()
            left = [*self._references_in(reference)]
            while left:
                one = left.pop()
                if one not in seen:
                    seen.add(one)
                    left += self._references_in(one)
            self._loops[reference] = reference in seen
        return self._loops[reference]

    def _references_in(self, reference: str) -> list[str]:
        if reference not in self._called:
            try:
                self._called[reference] = list(set(_references(self.at(reference))))
            except InvalidInputError:
                self._called[reference] = []
        return self._called[reference]


def _references(schema: Any) -> Iterator[str]:
    left = [schema]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if isinstance(one.get("$ref"), str):
                yield one["$ref"]
            # Definitions are not part of a value until something refers to them.
            left += [one[key] for key in one if key not in ("$defs", "definitions")]
        elif isinstance(one, list):
            left += one


def _parsed(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise InvalidInputError(f"the schema has more than {MAX_CHARACTERS} characters")
    try:
        schema = json.loads(text, parse_constant=_refused, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidInputError(f"the schema is not JSON: {reason[:200]}") from error
    if not isinstance(schema, dict | bool):
        raise InvalidInputError("the schema must be an object")
    _check_depth(schema)
    return schema


def _check_depth(schema: Any) -> None:
    level, depth = [[schema]], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidInputError(f"the schema is nested deeper than {MAX_DEPTH}")
        inner = [it for values in level for it in values if isinstance(it, dict | list)]
        level = [[*one.values()] if isinstance(one, dict) else one for one in inner]


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("an object has a name twice")
    return names


def unknown_keywords(schema: Mapping[str, Any]) -> Iterator[str]:
    """Those that would be ignored."""
    for name, value in schema.items():
        harmless = name == "uniqueItems" and value is False
        if name not in _UNDERSTOOD and name not in _ANNOTATIONS and not harmless:
            yield name


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which whole numbers; None is no bound."""

    low: int | None
    high: int | None
    above: bool
    """`low` itself is excluded."""
    below: bool


class Keywords:
    """Reads them; every method raises InvalidInputError for a value that is none."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    def get(self, name: str, otherwise: Any) -> Any:
        """As it is."""
        return self._schema.get(name, otherwise)

    def others_in_split(self, keyword: str) -> list[str]:
        """Others that say something."""
        return [name for name in self._schema if name in _UNDERSTOOD - {keyword}]

    def types(self) -> list[str]:
        """Those that are named."""
        said = self._schema.get("type", [])
        types = [said] if isinstance(said, str) else said
        if not isinstance(types, list) or not all(isinstance(one, str) for one in types):
            raise InvalidInputError("'type' must be a name or a list of names")
        unknown = [one for one in types if one not in TYPES]
        if unknown or (not types and "type" in self._schema):
            raise InvalidInputError(f"'type' must be of {', '.join(sorted(TYPES))}")
        # Every whole number is a number: said twice it would be read in two ways.
        return [one for one in dict.fromkeys(types) if one != "integer" or "number" not in types]

    def listed(self) -> list[Any]:
        """Values of `const` or `enum` that are of the type."""
        others = [n for n in self._schema if n in _UNDERSTOOD - {"const", "enum", "type"}]
        if others or {"const", "enum"} <= self._schema.keys():
            raise InvalidInputError("'const' and 'enum' stand alone or beside 'type'")
        values = [self._schema["const"]] if "const" in self._schema else self._schema["enum"]
        if not isinstance(values, list) or not values:
            raise InvalidInputError("'enum' must be a list of values")
        if len(values) > MAX_LISTED:
            raise InvalidInputError(f"'enum' has more than {MAX_LISTED} values")
        types = self.types()
        fitting = [one for one in values if not types or any(_is(one, name) for name in types)]
        if not fitting:
            raise InvalidInputError("no value of 'const' or 'enum' is of the type")
        return fitting

    def whole(self, name: str, otherwise: int | None) -> int | None:
        """A count."""
        value = self._schema.get(name, otherwise)
        if value is None and name not in self._schema:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
            raise InvalidInputError(f"{name!r} must be a count")
        return value

    def text(self, name: str) -> str | None:
        """A text, when it is there."""
        value = self._schema.get(name)
        if name in self._schema and not isinstance(value, str):
            raise InvalidInputError(f"{name!r} must be a text")
        return value

    def schemas(self, name: str) -> list[Any]:
        """A list, when it is there."""
        value = self._schema.get(name, [])
        if not isinstance(value, list):
            raise InvalidInputError(f"{name!r} must be a list of schemas")
        return value

    def properties(self) -> dict[str, Any]:
        """By name."""
        value = self._schema.get("properties", {})
        if not isinstance(value, dict):
            raise InvalidInputError("'properties' must be an object")
        return value

    def required(self) -> list[str]:
        """Names."""
        value = self._schema.get("required", [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise InvalidInputError("'required' must be a list of names")
        return value


def number_bounds(keywords: Keywords, *, whole: bool) -> Bounds:
    """The narrowest that the four keywords leave.

    Args:
        whole: for integers, whose bounds may be any numbers and are never open.

    Raises:
        InvalidInputError: a bound is no number, is too far out, or is a fraction.
    """
    low, above = _bound(keywords, "minimum", "exclusiveMinimum", max, whole=whole)
    high, below = _bound(keywords, "maximum", "exclusiveMaximum", min, whole=whole)
    if not whole:
        return Bounds(low, high, above, below)
    return Bounds(
        low + 1 if low is not None and above else low,
        high - 1 if high is not None and below else high,
        False,
        False,
    )


def _bound(
    keywords: Keywords, closed: str, opened: str, narrower: Any, *, whole: bool
) -> tuple[int | None, bool]:
    found: list[tuple[int, bool]] = []
    for name in (closed, opened):
        value = keywords.get(name, None)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAX_BOUND:
            raise InvalidInputError(f"{name!r} must be a number of at most 15 digits")
        exact = int(value) == value
        if not exact and not whole:
            raise InvalidInputError(f"{name!r} of numbers must be whole, as 0 or 100")
        rounded = math.ceil(value) if narrower is max else math.floor(value)
        found.append((rounded, name == opened and exact))
    if not found:
        return None, False
    value = narrower(bound for bound, _ in found)
    return value, any(is_open for bound, is_open in found if bound == value)


def _is(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (name == "number" or isinstance(value, int) or value.is_integer())
    kinds = {"null": type(None), "boolean": bool, "string": str, "array": list, "object": dict}
    return isinstance(value, kinds[name])
