"""JSON schemas to trees: every text of the tree is JSON that is right by the schema.

White space may stand where models write it, bounded: a weak model would go on with it for ever.
The tree may have fewer texts than the schema: properties come in the schema's order and no others,
unless it describes only others; of what may be anything come strings, numbers, booleans and null.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar import json_text
from modelmill_inference.domain.grammar.automaton import deterministic, one_of
from modelmill_inference.domain.grammar.characters import of
from modelmill_inference.domain.grammar.regex import parse_regex
from modelmill_inference.domain.grammar.schema_keywords import (
    Keywords,
    SchemaDocument,
    are_disjoint,
    number_bounds,
    unknown_keywords,
)
from modelmill_inference.domain.grammar.tree import (
    NOTHING,
    Characters,
    Grammar,
    Literal,
    Node,
    Reference,
    Repetition,
    choice,
    optional,
    sequence,
)

Member = tuple[str, Node | None, bool]
"""Name as it is written, value, and whether it must be there."""

MAX_MEMBERS = 100
_YEAR = "[12][0-9]{3}"
_DAY_28 = "(0[1-9]|1[0-9]|2[0-8])"
_DATE = (
    f"{_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    f"|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-{_DAY_28})"
)
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_HEX = "[0-9a-f]"
_LABEL = "[a-z0-9]([a-z0-9]|-[a-z0-9])*"
FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"({_DATE})T{_TIME}",
    "uuid": f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    "email": rf"[a-z0-9]([a-z0-9_-]|\.[a-z0-9_-])*@{_LABEL}(\.{_LABEL})*\.[a-z]{{2,8}}",
}
"""29 February is left out of dates, and years are from 1000 to 2999."""
MAX_ERRORS = 20
MAX_INDENT = 16
"""Spaces behind a new line."""
SPACE = optional(Literal(" "))
"""What may stand behind a colon."""
MAX_NESTING = 40
MAX_RULES = 3_000
_SCALARS = ("string", "number", "boolean", "null")
_ALONE = ("$ref", "anyOf", "oneOf", "allOf")
"""Each of them says all that its schema says."""


def gap() -> Node:
    """What may stand beside brackets and behind commas: nothing, a space, or a new line."""
    indented = sequence("\n", Repetition(Characters(of(" ")), 0, MAX_INDENT))
    return optional(choice([Literal(" "), indented]))


def array(
    first: Sequence[Node | None], item: Node | None, least: int, most: int | None, gap: Node
) -> Node | None:
    """Values in brackets: all of `first` that `most` allows, then items."""
    if most is not None and most < least:
        return None
    head = list(first if most is None else first[:most])
    if None in head:
        # What stands behind one that cannot be has no place.
        head = head[: head.index(None)]
        most = min(len(head), len(head) if most is None else most)
    values = [node for node in head if node is not None]
    fewest = max(least - len(values), 0)
    limit = None if most is None else most - len(values)
    if item is None or limit == 0:
        return _in_brackets(values, None, gap) if fewest == 0 else None
    if values:
        return _in_brackets(values, Repetition(sequence(",", gap, item), fewest, limit), gap)
    further = None if limit is None else limit - 1
    after: list[Node] = [Repetition(sequence(",", gap, item), max(fewest - 1, 0), further)]
    items = sequence(gap, item, *(after if further != 0 else []), gap)
    return sequence("[", items if fewest else optional(items), "]")


def _in_brackets(values: Sequence[Node], more: Node | None, gap: Node) -> Node:
    if not values:
        return Literal("[]")
    parts: list[Node | str] = ["[", gap]
    for number, value in enumerate(values):
        parts += [",", gap, value] if number else [value]
    return sequence(*parts, *([more] if more is not None else []), gap, "]")


def object_of(members: Sequence[Member], rule: Callable[[Node], Node], gap: Node) -> Node | None:
    """Members in braces, in their order, those that need not be there or not.

    Args:
        rule: gives a node a name, for what is written in several places.
    """
    if any(node is None and must for _, node, must in members):
        return None
    pairs = [
        (sequence(f"{name}:", SPACE, node), must)
        for name, node, must in members
        if node is not None
    ]
    if not pairs:
        return Literal("{}")
    obliged = next((number for number, (_, must) in enumerate(pairs) if must), len(pairs))
    tail = [sequence(",", gap, p) if must else optional(sequence(",", gap, p)) for p, must in pairs]
    # Nothing behind a required member can be the first one.
    after: Node = sequence(*tail[obliged + 1 :]) if tail[obliged + 1 :] else NOTHING
    starts = [sequence(pairs[obliged][0], after)] if obliged < len(pairs) else []
    after = sequence(*tail[obliged:]) if obliged < len(pairs) else NOTHING
    for number in range(obliged - 1, -1, -1):
        after = rule(after)
        starts.append(sequence(pairs[number][0], after))
        after = sequence(tail[number], after)
    inside = sequence(gap, choice(starts), gap)
    return sequence("{", inside if any(must for _, must in pairs) else optional(inside), "}")


def any_object(name: Node, value: Node, gap: Node) -> Node:
    """Members of any names in braces."""
    pair = sequence(name, ":", SPACE, value)
    more = Repetition(sequence(",", gap, pair))
    return sequence("{", optional(sequence(gap, pair, more, gap)), "}")


def parse_json_schema(text: str, levels: int, prefix: str = "") -> tuple[Grammar, bool]:
    """The grammar, and whether the schema contains itself.

    Args:
        prefix: what the names of rules begin with.
        levels: how often a schema that contains itself may stand in itself.

    Raises:
        InvalidInputError: everything in the schema that is wrong or cannot be generated.
    """
    document = SchemaDocument(text)
    converter = _Converter(document, prefix)
    root = converter.node(document.root, "#", levels)
    if converter.errors:
        raise InvalidInputError(converter.errors[:MAX_ERRORS])
    if root is None:
        raise InvalidInputError("the schema has no value, or none that ends")
    return Grammar(root, converter.rules), converter.is_recursive


class _Converter:
    def __init__(self, document: SchemaDocument, prefix: str) -> None:
        self._document = document
        self._prefix = prefix
        self._known: dict[tuple[str, int], Node | None] = {}
        self._shared: dict[object, Node] = {}
        self._depth = 0
        self.rules: dict[str, Node] = {}
        self.errors: list[str] = []
        self.is_recursive = False

    def node(self, schema: Any, path: str, levels: int) -> Node | None:
        """Its texts; None when it has none, or errors were found."""
        if len(self.errors) >= MAX_ERRORS:
            return None
        if schema is True:
            schema = {}
        if not isinstance(schema, dict):
            return None if schema is False else self._error(path, "a schema is an object")
        self._depth += 1
        try:
            if self._depth > MAX_NESTING:
                return self._error(path, f"nested deeper than {MAX_NESTING}")
            return self._node(schema, path, levels)
        except InvalidInputError as error:
            return self._error(path, error.message)
        finally:
            self._depth -= 1

    def _error(self, path: str, message: str) -> Node | None:
        text = f"{path[-120:]}: {message}"
        if text not in self.errors:
            self.errors.append(text)
        return None

    def _node(self, schema: dict[str, Any], path: str, levels: int) -> Node | None:
        for name in unknown_keywords(schema):
            self._error(path, f"{name[:40]!r} is not supported")
        alone = [name for name in _ALONE if name in schema]
        if alone:
            return self._alone(schema, alone[0], path, levels)
        keywords = Keywords(schema)
        if "const" in schema or "enum" in schema:
            return self._listed(keywords)
        types = keywords.types()
        nodes = [self._of_type(one, keywords, path, levels) for one in types or _likely(schema)]
        branches = [node for node in nodes if node is not None]
        return choice(branches) if branches else None

    def _alone(self, schema: dict[str, Any], keyword: str, path: str, levels: int) -> Node | None:
        others = Keywords(schema).others_in_split(keyword)
        if others:
            return self._error(path, f"{others[0]!r} beside {keyword!r} is not supported")
        if keyword == "$ref":
            return self._referred(schema["$ref"], path, levels)
        parts = schema[keyword]
        if not isinstance(parts, list) or not parts or len(parts) > MAX_MEMBERS:
            return self._error(path, f"{keyword!r} must be a list of 1 to {MAX_MEMBERS} schemas")
        if keyword == "allOf" and len(parts) > 1:
            return self._error(path, "'allOf' of several schemas is not supported. Write one")
        if keyword == "oneOf" and not are_disjoint(parts, self._document.resolved):
            return self._error(
                path, "'oneOf' needs schemas that differ in type or in a required constant; "
                "or write 'anyOf'"
            )  # fmt: skip
        # The same twice would be read in two ways.
        different = {json.dumps(part): (number, part) for number, part in enumerate(parts)}
        nodes = [self.node(p, f"{path}/{keyword}/{n}", levels) for n, p in different.values()]
        branches = [node for node in nodes if node is not None]
        return choice(branches) if branches else None

    def _referred(self, reference: Any, path: str, levels: int) -> Node | None:
        if not isinstance(reference, str):
            return self._error(path, "'$ref' must be a text")
        target = self._document.at(reference)
        if self._document.is_recursive(reference):
            self.is_recursive = True
            levels -= 1
        if levels < 0:
            return None
        key = (reference, levels)
        if key not in self._known:
            self._known[key] = None
            node = self.node(target, reference, levels)
            self._known[key] = None if node is None else self._rule(node)
        return self._known[key]

    def _rule(self, node: Node) -> Node:
        """The node under a name, so that it is printed once."""
        if isinstance(node, Reference):
            return node
        if len(self.rules) >= MAX_RULES:
            raise InvalidInputError("the schema is too large")
        name = f"{self._prefix}r{len(self.rules)}"
        self.rules[name] = node
        return Reference(name)

    def _share(self, key: object, make: Callable[[], Node]) -> Node:
        if key not in self._shared:
            self._shared[key] = self._rule(make())
        return self._shared[key]

    def _listed(self, keywords: Keywords) -> Node | None:
        node, rules = one_of(
            [*map(json_text.value_text, keywords.listed())], f"e{len(self.rules)}_"
        )
        self.rules.update(rules)
        return node

    def _of_type(self, name: str, keywords: Keywords, path: str, levels: int) -> Node | None:
        match name:
            case "null":
                return Literal("null")
            case "boolean":
                return choice([Literal("true"), Literal("false")])
            case "string":
                return self._string(keywords)
            case "integer" | "number":
                return self._number(name, keywords)
            case "array":
                return self._array(keywords, path, levels)
            case _:
                return self._object(keywords, path, levels)

    def _string(self, keywords: Keywords) -> Node | None:
        least, most = keywords.whole("minLength", 0), keywords.whole("maxLength", None)
        expression = keywords.text("pattern")
        named = keywords.text("format")
        counted = least != 0 or most is not None
        if (expression is not None) + (named is not None) + counted > 1:
            raise InvalidInputError(
                "'pattern', 'format' and lengths beside each other are not supported. "
                "Write one pattern"
            )
        if named is not None:
            if named not in FORMATS:
                raise InvalidInputError(
                    f"format {named[:40]!r} is not supported; there are {', '.join(FORMATS)}"
                )
            expression = FORMATS[named]
        if expression is not None:
            return self._pattern(expression)
        assert least is not None
        if most is not None and most < least:
            return None
        return self._string_of(least, most)

    def _string_of(self, least: int, most: int | None) -> Node:
        return self._share(("string", least, most), lambda: json_text.string(least, most))

    def _pattern(self, expression: str) -> Node:
        def make() -> Node:
            name = f"{self._prefix}p{len(self.rules)}_"
            node, rules = deterministic(parse_regex(expression), name, json_text.escaped)
            self.rules.update(rules)
            return json_text.quoted(node)

        return self._share(("pattern", expression), make)

    def _number(self, name: str, keywords: Keywords) -> Node | None:
        bounds = number_bounds(keywords, whole=name == "integer")
        key = (name, bounds)
        if key not in self._shared:
            node = json_text.integers(bounds) if name == "integer" else json_text.numbers(bounds)
            if node is None:
                return None
            self._shared[key], rules = deterministic(node, f"n{len(self.rules)}_", scale=20)
            self.rules.update(rules)
        return self._shared[key]

    def _array(self, keywords: Keywords, path: str, levels: int) -> Node | None:
        least, most = keywords.whole("minItems", 0), keywords.whole("maxItems", None)
        assert least is not None
        prefix = keywords.schemas("prefixItems")
        first = [self.node(s, f"{path}/prefixItems/{n}", levels) for n, s in enumerate(prefix)]
        rest = keywords.get("items", not prefix or least > len(prefix))
        item = self.node(rest, f"{path}/items", levels)
        node = array(first, None if item is None else self._rule(item), least, most, self._gap())
        return None if node is None else self._rule(node)

    def _object(self, keywords: Keywords, path: str, levels: int) -> Node | None:
        properties, required = keywords.properties(), keywords.required()
        others = keywords.get("additionalProperties", not properties)
        if len(properties) > MAX_MEMBERS:
            return self._error(path, f"an object has more than {MAX_MEMBERS} properties")
        for name in required:
            if name not in properties:
                self._error(path, f"required {name[:40]!r} is not among the properties")
        members = [
            (name, self.node(schema, f"{path}/properties/{name}", levels), name in required)
            for name, schema in properties.items()
        ]
        named = [
            (json_text.value_text(name), node, is_required) for name, node, is_required in members
        ]
        other = None
        if others not in (True, False) or (others is True and not properties):
            other = self.node(others, f"{path}/additionalProperties", levels)
        if other is not None and not properties:
            return self._rule(any_object(self._string_of(0, None), self._rule(other), self._gap()))
        node = object_of(named, self._rule, self._gap())
        return None if node is None else self._rule(node)

    def _gap(self) -> Node:
        return self._share("gap", gap)


def _likely(schema: Mapping[str, Any]) -> Iterator[str]:
    """The types that a schema without `type` speaks of; they are a part of what it allows."""
    speaks_of = {
        "object": ("properties", "required", "additionalProperties"),
        "array": ("items", "prefixItems", "minItems", "maxItems"),
        "string": ("minLength", "maxLength", "pattern", "format"),
        "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    }
    found = [name for name, keywords in speaks_of.items() if any(k in schema for k in keywords)]
    yield from found or _SCALARS
