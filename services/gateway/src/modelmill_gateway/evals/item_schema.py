"""The schema of an eval's rows: which schemas can be held to, and whether a row is as it says.

Schemas come from callers, and so do rows. What is bounded: subschemas and their depth when an eval
is made, steps when a row is held against it. Nothing is fetched, and expressions are RE2's, which
takes a time in proportion to the text.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import re2
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry, Specification
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7, DRAFT202012, SchemaRegistry

MAX_SCHEMAS = 500
MAX_DEPTH = 24
MAX_PATTERN_BYTES = 1 << 20
"""What RE2 may take for one expression."""
ROW_STEPS = 20_000
RUN_STEPS = 500_000
"""Keywords that are looked at, those of large things for several: some five microseconds a step."""
SHOWN_CHARS = 80

LATEST = "https://json-schema.org/draft/2020-12/schema"
DIALECTS: Mapping[str, tuple[Any, Specification[Any]]] = {
    LATEST: (Draft202012Validator, DRAFT202012),
    "http://json-schema.org/draft-07/schema": (Draft7Validator, DRAFT7),
}
UNHELD = ("patternProperties", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef")
"""Keywords that nobody can bound, or only by the library's own expressions: refused by name."""
ROOT_ONLY = ("$id", "$schema")
IN_MAPPINGS = ("properties", "$defs", "definitions", "dependentSchemas", "dependencies")
IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
IN_PLACE = (
    *("items", "additionalItems", "additionalProperties", "contains", "propertyNames"),
    *("not", "if", "then", "else"),
)
"""Where subschemas stand."""
BY_LENGTH = frozenset(
    ("items", "prefixItems", "contains", "additionalItems", "additionalProperties", "propertyNames")
)
"""Keywords that look at every member."""
TOO_DEEP = "it is nested too deeply"
TOO_DEAR = "it takes too many steps to hold it, or the rows up to it, against item_schema"
Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class BadSchemaError(ValueError):
    """Rows cannot be held to this schema; says why."""


class _TooDearError(Exception):
    """A row, or all of them, took more steps than there are."""


class ItemSchema:
    """Validator of the items of rows against a JSON schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises BadSchemaError."""
        dialect, specification = _dialect(schema.get("$schema", LATEST))
        root = {name: value for name, value in schema.items() if name != "$schema"}
        self._patterns: dict[str, Any] = {}
        self._left = RUN_STEPS
        self._row_left = 0
        self._price = 1
        _check_depth(root)
        # An empty registry: what is not in the schema itself is not there.
        registry: SchemaRegistry = Registry()
        self._resolver = registry.resolver_with_root(specification.create_resource(root))
        keywords = {name: self._counted(name, it) for name, it in dialect.VALIDATORS.items()}
        self._validator = extend(dialect, validators=keywords)(root, registry=registry)
        self._check(root)
        try:
            dialect.check_schema(root, format_checker=FormatChecker(formats=()))
        except SchemaError as error:
            raise BadSchemaError(
                f"{_path('', error)}{_short(error.instance)} is no schema"
            ) from None
        if self.wrong({}, 0) == TOO_DEEP:
            raise BadSchemaError("it refers to itself without end")

    def wrong(self, item: Mapping[str, Any], row_bytes: int) -> str:
        """What is wrong with an item of a row as large as that; nothing is said of its values."""
        self._row_left = ROW_STEPS
        self._price = 1 + (row_bytes >> 12)
        try:
            error = next(self._validator.iter_errors(item), None)
        except RecursionError:
            return TOO_DEEP
        except _TooDearError:
            return TOO_DEAR
        except (ArithmeticError, ValueError):
            return "item: has a number that nothing can be compared with"
        if error is None:
            return ""
        if error.validator is None:
            return f"{_path('item', error)}is not allowed"
        return (
            f"{_path('item', error)}not as {error.validator} {_short(error.validator_value)} says"
        )

    def _check(self, root: Mapping[str, Any]) -> None:
        """Every subschema, those that are referred to among them."""
        waiting: list[Any] = [root]
        seen: set[int] = set()
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping) or id(schema) in seen:
                continue
            seen.add(id(schema))
            if len(seen) > MAX_SCHEMAS:
                raise BadSchemaError(f"it has more than {MAX_SCHEMAS} subschemas")
            for name in (*UNHELD, *(ROOT_ONLY if schema is not root else ())):
                if name in schema:
                    raise BadSchemaError(f"{name} is not served here")
            if "pattern" in schema:
                self._patterns[_word(schema["pattern"])] = _compiled(schema["pattern"])
            if "$ref" in schema:
                waiting.append(self._target(schema["$ref"]))
            waiting += _subschemas(schema)

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise BadSchemaError(f"$ref {_short(reference)}: only what is in the schema itself")
        try:
            return self._resolver.lookup(reference).contents
        except Unresolvable:
            raise BadSchemaError(f"$ref {_short(reference)}: nothing is there") from None

    def _counted(self, name: str, keyword: Keyword) -> Keyword:
        """The keyword, with its steps counted; `pattern` as RE2 has it."""
        if name == "pattern":
            keyword = self._pattern

        def counted(validator: Any, value: Any, given: Any, schema: Any) -> Any:
            self._spend(self._price_of(given) + _members(name, value, given))
            return keyword(validator, value, given, schema)

        return counted

    def _price_of(self, given: Any) -> int:
        """A large thing is dear: what is wrong with it is written down, and expressions read it."""
        if isinstance(given, str):
            return 1 + (len(given) >> 12)
        return self._price if isinstance(given, (list, dict)) else 1

    def _pattern(
        self, _validator: Any, value: str, given: Any, _schema: Any
    ) -> Iterator[ValidationError]:
        if isinstance(given, str) and not _matches(self._patterns[value], given):
            yield ValidationError("no match")

    def _spend(self, steps: int) -> None:
        self._row_left -= steps
        self._left -= steps
        if self._row_left < 0 or self._left < 0:
            raise _TooDearError


def _dialect(said: Any) -> tuple[Any, Specification[Any]]:
    found = DIALECTS.get(said.removesuffix("#")) if isinstance(said, str) else None
    if found is None:
        raise BadSchemaError("$schema: 2020-12 and draft-07 are served")
    return found


def _members(name: str, value: Any, given: Any) -> int:
    """Steps for what a keyword looks at beside the thing itself."""
    if name in BY_LENGTH and isinstance(given, (list, dict)):
        return len(given)
    if name == "uniqueItems" and isinstance(given, list):
        kinds = {type(member) for member in given}
        # What cannot be sorted is compared each with each.
        return len(given) if kinds <= {str} or kinds <= {int, float} else len(given) ** 2 // 8
    return len(str(value)) // 64 if name in ("enum", "const") else 0


def _subschemas(schema: Mapping[str, Any]) -> Iterator[Any]:
    for name in IN_MAPPINGS:
        if isinstance(schema.get(name), Mapping):
            yield from schema[name].values()
    for name in IN_LISTS:
        if isinstance(schema.get(name), list):
            yield from schema[name]
    yield from (schema[name] for name in IN_PLACE if name in schema)


def _check_depth(schema: Any) -> None:
    level = [schema]
    for _ in range(MAX_DEPTH):
        members = [it.values() if isinstance(it, Mapping) else it for it in level]
        level = [each for them in members for each in them if isinstance(each, (Mapping, list))]
        if not level:
            return
    raise BadSchemaError(f"it is nested more than {MAX_DEPTH} levels deep")


def _compiled(pattern: Any) -> Any:
    options = re2.Options()
    options.max_mem = MAX_PATTERN_BYTES
    options.log_errors = False
    try:
        return re2.compile(_word(pattern), options)
    except (re2.error, UnicodeEncodeError):
        raise BadSchemaError(f"pattern {_short(pattern)}: none in RE2's syntax") from None


def _matches(pattern: Any, text: str) -> bool:
    try:
        return pattern.search(text) is not None
    except UnicodeEncodeError:  # Half a character, as JSON's escapes can write it.
        return False


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _path(begin: str, error: ValidationError | SchemaError) -> str:
    path = ".".join([*([begin] if begin else []), *(str(step) for step in error.absolute_path)])
    return f"{path[:SHOWN_CHARS]}: " if path else ""


def _short(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return written if len(written) <= SHOWN_CHARS else f"{written[:SHOWN_CHARS]}…"
