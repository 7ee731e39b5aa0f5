"""What is wrong with a value by its JSON Schema, in words that name the field and the remedy."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from json import dumps, loads
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean, nearest

from modelmill_recipes.located import LocatedYaml, Place

Schema = Mapping[str, Any]
TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "minItems": "of at least {} items",
    "maxItems": "of at most {} items",
    "pattern": "that matches {}",
}
MOST_SHOWN = 60


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of recipes."""
    text = files("modelmill_recipes").joinpath("recipe.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = loads(text)
    return loaded


def schema_errors(value: Any) -> Iterator[tuple[Place, str]]:
    """Everything that is wrong with a recipe, each with where it is."""
    return errors_by(schema(), value)


def read_checked(file: Path, schema: Schema, max_bytes: int) -> LocatedYaml:
    """A file of others that a schema accepts.

    Raises:
        InvalidInputError: it is too large, or what is wrong with it, each with its line.
        OSError: it cannot be read.
    """
    if file.stat().st_size > max_bytes:
        raise InvalidInputError(f"{file}: larger than {max_bytes} bytes. Shorten it")
    source = LocatedYaml(file, refuse_aliases=True)
    if errors := list(dict.fromkeys(errors_by(schema, source.value))):
        raise source.errors(errors)
    return source


def errors_by(schema: Schema, value: Any) -> Iterator[tuple[Place, str]]:
    """Everything that is wrong with a value by a schema, each with where it is."""
    validator = Draft202012Validator(schema)
    for error in validator.iter_errors(value):
        yield from _said(error, validator)


def _said(error: ValidationError, validator: Any) -> Iterator[tuple[Place, str]]:
    place: Place = tuple(error.absolute_path)
    here = ".".join(map(str, place))
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        for name in error.instance:
            if name not in known:
                meant = did_you_mean(name, known) or f" There are {', '.join(known)}."
                yield (*place, name), f"{_dotted(here, name)}: unknown field.{meant}"
    elif error.validator == "required":
        fields = error.schema["properties"]
        slips = {nearest(name, fields) for name in error.instance if name not in fields}
        for name in error.validator_value:
            # Of a slip, the one error is enough.
            if name not in error.instance and name not in slips:
                words = " ".join(_resolved(fields[name]).get("description", "").split())
                yield place, f"{_dotted(here, name)}: must be given. {words}".rstrip(". ")
    elif error.validator == "anyOf" and (inner := _of_same_type(error)):
        for each in inner:
            yield from _said(each, validator)
    else:
        shown = dumps(error.instance, ensure_ascii=False, default=str)
        shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"
        meant = did_you_mean(str(error.instance), _words(error.schema))
        yield place, f"{here}: must be {_expected(error.schema)}, and is {shown}.{meant}"


def _of_same_type(error: ValidationError) -> list[ValidationError]:
    """Errors within the one alternative that has the value's type, where it is a mapping or list:
    they are nearer to what was meant than the alternatives are."""
    if not isinstance(error.instance, dict | list):
        return []
    inner = [each for each in error.context or () if each.validator != "type" or each.path]
    return inner if len({each.schema_path[0] for each in inner}) == 1 else []


def _resolved(part: Schema) -> Schema:
    if "$ref" in part:
        found: Schema = schema()["$defs"][part["$ref"].rpartition("/")[2]]
        return found
    return part


def _expected(part: Schema) -> str:
    part = _resolved(part)
    if "anyOf" in part:
        words = [_expected(each) for each in part["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    if "const" in part or "enum" in part:
        return " or ".join(map(repr, _words(part)))
    bounds = [words.format(part[name]) for name, words in BOUNDS.items() if name in part]
    return " ".join(
        [TYPES.get(str(part.get("type")), "another value"), " and ".join(bounds)]
    ).strip()


def _words(part: Schema) -> list[str]:
    """Values that are listed."""
    part = _resolved(part)
    listed = [part["const"]] if "const" in part else part.get("enum", [])
    return [*map(str, listed), *(word for each in part.get("anyOf", ()) for word in _words(each))]


def _dotted(here: str, name: str) -> str:
    return f"{here}.{name}" if here else name
