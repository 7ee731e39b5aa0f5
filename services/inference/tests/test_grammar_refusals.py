"""Schemas that are wrong, not understood or meant to hurt: refused with a path, at once."""

import json
import time
from typing import Any

import pytest
from modelmill_inference.domain.grammar.constrained_output import ConstrainedOutput, constrain
from modelmill_inference.domain.sampling import OutputConstraint
from modelmill_service_kit.errors import InvalidInputError

from .test_grammar_schemas import check, texts_of

SECONDS = 0.1
"""Twice what it may take: a busy machine counts more."""


def refused(constraint: OutputConstraint) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        constrain(constraint, 8_000)
    return caught.value


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "contentEncoding": "base64"}, "#: 'contentEncoding' is not supported"),
        ({"type": "integer", "multipleOf": 3}, "#: 'multipleOf' is not supported"),
        ({"items": {"not": {}}}, "#/items: 'not' is not supported"),
        ({"uniqueItems": True}, "'uniqueItems' is not supported"),
        ({"type": "text"}, "'type' must be of array, boolean"),
        ({"type": []}, "'type' must be of"),
        ({"properties": {"a": {"patternProperties": {}}}}, "#/properties/a: 'patternProperties'"),
        ({"required": ["a"]}, "required 'a' is not among the properties"),
        ({"allOf": [{}, {}]}, "'allOf' of several"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "'oneOf' needs"),
        ({"oneOf": [{"enum": [1, 2]}, {"const": 1.0}]}, "'oneOf' needs"),
        ({"anyOf": []}, "'anyOf' must be a list"),
        ({"anyOf": [{}], "type": "string"}, "'type' beside 'anyOf'"),
        ({"$ref": "#/$defs/none"}, "points to nothing"),
        ({"$ref": "https://example.com/s"}, "only references within"),
        ({"type": "string", "format": "ipv4"}, "format 'ipv4' is not supported; there are date"),
        ({"type": "string", "pattern": "(?=a)"}, "#: the expression has lookahead at position 0"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "beside each other"),
        ({"type": "string", "minLength": -1}, "'minLength' must be a count"),
        ({"type": "number", "minimum": 0.5}, "must be whole"),
        ({"type": "integer", "minimum": 1e300}, "at most 15 digits"),
        ({"enum": []}, "'enum' must be a list of values"),
        ({"enum": ["a"], "type": "integer"}, "is of the type"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "no value"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "no value"),
        (False, "no value"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_path(schema: Any, message: str) -> None:
    error = refused(OutputConstraint("json_schema", json.dumps(schema)))

    assert message in error.message


def test_all_that_is_wrong_with_a_schema_is_said_at_once() -> None:
    properties = {"a": {"type": "x"}, "b": {"not": 1}, "c": {"$ref": 5}, "d": {"anyOf": 1}}

    error = refused(OutputConstraint("json_schema", json.dumps({"properties": properties})))

    paths = [one.split(":")[0] for one in error.errors]
    assert paths == [f"#/properties/{name}" for name in "abcd"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"a": NaN}', '{"type":"null","type":"string"}', "[" * 100_000]
)
def test_what_is_no_schema_is_refused(text: str) -> None:
    refused(OutputConstraint("json_schema", text))


def test_annotations_change_nothing() -> None:
    plain = {"type": "integer", "minimum": 1, "maximum": 9}
    noted = plain | {
        "title": "T",
        "description": "D",
        "default": 1,
        "examples": [2],
        "$comment": "",
    }

    forms = [
        constrain(OutputConstraint("json_schema", json.dumps(one)), 50) for one in (plain, noted)
    ]

    assert forms[0].text == forms[1].text


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


_LOOP = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
_ENDLESS = {"properties": {"a": {"$ref": "#"}}, "required": ["a"]}
_WIDE = {
    "$defs": {f"d{n}": {"items": {"$ref": f"#/$defs/d{n + 1}"}} for n in range(200)}
    | {"d200": {"type": "null"}},
    "$ref": "#/$defs/d0",
}
_BRANCHING = {"anyOf": [{"items": {"$ref": "#"}}] * 50, "$defs": {}}
HOSTILE = [
    OutputConstraint("regex", "(a{1000}){1000}"),
    OutputConstraint("regex", "((((a?){30}){30}){30}){30}"),
    OutputConstraint("regex", "(" * 20 + "(a|b)*" + "){1,1000}" * 20),
    OutputConstraint("regex", "(a|b)*a(a|b){20}"),
    OutputConstraint("regex", "(.{0,30}x){0,30}"),
    OutputConstraint("regex", "(" * 900),
    OutputConstraint("regex", "[^x]{1000}"),
    OutputConstraint("json_schema", json.dumps(_LOOP)),
    OutputConstraint("json_schema", json.dumps(_ENDLESS)),
    OutputConstraint("json_schema", json.dumps(_WIDE)),
    OutputConstraint("json_schema", json.dumps(_nested(50))),
    OutputConstraint("json_schema", '{"items":' * 5_000 + "{}" + "}" * 5_000),
    OutputConstraint("json_schema", json.dumps({"enum": [*range(5_000)]})),
    OutputConstraint("json_schema", json.dumps({"enum": ["x" * 30_000, "y" * 30_000]})),
    OutputConstraint(
        "json_schema", json.dumps({"properties": {f"p{n}": {} for n in range(2_000)}})
    ),
    OutputConstraint("json_schema", json.dumps({"minItems": 10**9})),
    OutputConstraint("json_schema", json.dumps({"minItems": 10**30})),
    OutputConstraint("json_schema", json.dumps({"minLength": 10**9})),
    OutputConstraint("json_schema", json.dumps({"pattern": "(a{900}){900}"})),
    OutputConstraint("json_schema", '{"minimum": ' + "9" * 4_000 + "}"),
    OutputConstraint("json_schema", '{"enum": [1e999]}'),
]


@pytest.mark.parametrize("constraint", HOSTILE, ids=lambda one: one.text[:30])
def test_what_is_meant_to_hurt_is_refused_at_once(constraint: OutputConstraint) -> None:
    spent = []
    for _ in range(3):
        began = time.process_time()
        refused(constraint)
        spent.append(time.process_time() - began)

    assert min(spent) < SECONDS


def test_a_schema_of_many_loops_stays_small() -> None:
    began = time.process_time()
    form: ConstrainedOutput = constrain(
        OutputConstraint("json_schema", json.dumps(_BRANCHING)), 8_000
    )

    assert len(form.text) < 20_000
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "integer"}, {"type": "string"}, {"type": ["null", "boolean"]}]},
        {"oneOf": [{"const": 1}, {"enum": [2, "a"]}]},
        {
            "oneOf": [
                {"properties": {"k": {"const": c}}, "required": ["k"], "type": "object"}
                for c in "abc"
            ]
        },
    ],
)
def test_one_of_schemas_that_exclude_each_other_is_any_of_them(schema: Any) -> None:
    for text in texts_of(schema):
        check(schema, text)
