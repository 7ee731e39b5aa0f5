"""Every text of a schema's grammar is right by `jsonschema`, and comes to its end in time."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from modelmill_inference.domain.grammar.closing import TextLengths
from modelmill_inference.domain.grammar.constrained_output import (
    END_TOKEN,
    ConstrainedOutput,
    constrain,
)
from modelmill_inference.domain.grammar.matching import behind
from modelmill_inference.domain.sampling import OutputConstraint
from modelmill_service_kit.errors import InvalidInputError

from .grammar_texts import drawn


def form_of(schema: Any, max_tokens: int = 8_000) -> ConstrainedOutput:
    return constrain(OutputConstraint("json_schema", json.dumps(schema)), max_tokens)


def check(schema: Any, text: str) -> None:
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    validator.validate(json.loads(text))


def texts_of(schema: Any, number: int = 30) -> list[str]:
    draw = random.Random(7)
    form = form_of(schema)
    return [drawn(form.grammar, draw) for _ in range(number)]


def a_whole_answer(form: ConstrainedOutput, draw: random.Random) -> str:
    """What comes of it when each byte takes a token: the worst case."""
    written = drawn(form.grammar, draw, more=60)
    while len(written.encode()) > form.free_tokens:
        written = written[:-1]
    if form.free_tokens == form.max_tokens:
        return written
    rest = form.ending(written, form.max_tokens - form.free_tokens)
    return written if rest is None else written + drawn(rest, draw, more=60)


NAMES = st.sampled_from(["a", "name", "日本", 'quo"te', "x y", "id", "back\\slash"])
BOUNDS = st.one_of(st.none(), st.integers(-1200, 1200))


def _without_none(**keywords: Any) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value is not None}


@st.composite
def _numbers(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.integers(-1200, 1200))
    high = low + draw(st.integers(2, 3000))
    lower = draw(st.sampled_from(["minimum", "exclusiveMinimum", ""]))
    upper = draw(st.sampled_from(["maximum", "exclusiveMaximum", ""]))
    bounds = {name: value for name, value in ((lower, low), (upper, high)) if name}
    return {"type": draw(st.sampled_from(["integer", "number"]))} | bounds


@st.composite
def _strings(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return {"type": "string"}
    if kind == 1:
        least = draw(st.integers(0, 5))
        return {"type": "string", "minLength": least, "maxLength": least + draw(st.integers(0, 9))}
    if kind == 2:
        formats = ["date", "time", "date-time", "uuid", "email"]
        return {"type": "string", "format": draw(st.sampled_from(formats))}
    patterns = [r"^[A-Z]{2,4}-\d+$", r"a|bc*", r'^["\\]+$', r"[^a-z]{1,3}", r"^(x|yy)*$", r".+"]
    return {"type": "string", "pattern": draw(st.sampled_from(patterns))}


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
LEAVES = st.one_of(
    _numbers(),
    _strings(),
    st.just({"type": "boolean"}),
    st.just({"type": ["null", "integer"]}),
    st.just({}),
    st.just(True),
    st.builds(lambda values: {"enum": values}, st.lists(JSON_VALUES, min_size=1, max_size=4)),
    st.builds(lambda value: {"const": value}, JSON_VALUES),
)


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    least = draw(st.one_of(st.none(), st.integers(0, 3)))
    most = draw(st.one_of(st.none(), st.integers(3, 5)))
    prefix = draw(st.one_of(st.none(), st.lists(inner, min_size=1, max_size=2)))
    items = draw(inner)
    return {"type": "array"} | _without_none(
        items=items, prefixItems=prefix, minItems=least, maxItems=most
    )


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = draw(st.lists(st.sampled_from([*properties]), unique=True)) if properties else []
    others = draw(st.one_of(st.none(), st.booleans(), inner))
    return {"type": "object", "properties": properties} | _without_none(
        required=required, additionalProperties=others, title=draw(st.sampled_from(["T", None]))
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _arrays(inner),
        _objects(inner),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"allOf": [part]}, inner),
    ),
    max_leaves=8,
)


@pytest.mark.tier("test")
@settings(max_examples=50, deadline=None, derandomize=True)
@given(SCHEMAS, st.integers(0, 10_000), st.integers(20, 400))
def test_every_answer_to_a_schema_is_right_and_within_the_limit(
    schema: Any, seed: int, max_tokens: int
) -> None:
    draw = random.Random(seed)
    for text in texts_of(schema, 3):
        check(schema, text)
    try:
        form = form_of(schema, max_tokens)
    except InvalidInputError:
        return
    for _ in range(3):
        text = a_whole_answer(form, draw)
        assert len(text.encode()) + END_TOKEN <= max_tokens
        check(schema, text)


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"$ref": "#/$defs/node"},
            },
            "required": ["value", "children"],
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize("max_tokens", [32, 40, 64, 100, 500, 8000])
def test_a_schema_that_contains_itself_ends_within_every_limit(max_tokens: int) -> None:
    form = form_of(TREE, max_tokens)
    draw = random.Random(max_tokens)

    for _ in range(20):
        text = a_whole_answer(form, draw)
        assert len(text.encode()) + END_TOKEN <= max_tokens
        check(TREE, text)


WRITTEN = {"name": "Anna", "tags": ["a", "b"], "at": {}, "none": [], "deep": {"year": 1}}
WRITTEN_BY = {
    "type": "object",
    "required": [*WRITTEN],
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "at": {"type": "object"},
        "none": {"type": "array", "items": {"type": "string"}},
        "deep": {
            "type": "object",
            "required": ["year"],
            "properties": {"year": {"type": "integer"}},
        },
    },
}


@pytest.mark.parametrize(
    "style", [{"separators": (",", ":")}, {}, {"indent": 2}, {"indent": 4}, {"indent": 0}]
)
def test_a_model_may_write_the_white_space_that_it_learned(style: dict[str, Any]) -> None:
    text = json.dumps(WRITTEN, **style)
    assert None in behind(text, form_of(WRITTEN_BY).grammar)


def test_an_object_of_which_nothing_is_said_has_any_members() -> None:
    grammar = form_of({"type": "object"}).grammar
    for document in ({}, {"Name": "Anna", "age": 26}, {"城市": None, "is it": True}):
        assert None in behind(json.dumps(document, ensure_ascii=False), grammar)


def test_white_space_comes_to_an_end() -> None:
    grammar = form_of(WRITTEN_BY).grammar
    for begun in ("{", '{"name":', '{"name": "Anna",'):
        for space in (" ", "\n"):
            assert not behind(begun + space * 20, grammar)
        assert not behind(begun + "\n" + " " * 40, grammar)


def test_a_form_that_cannot_come_to_its_end_says_how_many_tokens_it_needs() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

    with pytest.raises(InvalidInputError, match=r"needs \d+ tokens.*leave 5") as refused:
        form_of(schema, 5)
    needed = next(int(word) for word in refused.value.message.split() if word.isdigit())

    form = form_of(schema, needed)
    assert TextLengths(form.grammar).shortest(form.grammar.root) < needed
    with pytest.raises(InvalidInputError):
        form_of(schema, needed - 1)
