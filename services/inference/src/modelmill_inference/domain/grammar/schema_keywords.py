"""The keywords of one schema: which are understood, and their values once they are checked."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar.disjoint import TYPES

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

    def beside(self, keyword: str) -> list[str]:
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
