"""A JSON schema as a caller sent it: read once, its references found, its loops known."""

import json
from collections.abc import Iterator
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

MAX_CHARACTERS = 64_000
MAX_DEPTH = 64


class SchemaDocument:
    """The parsed text."""

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
