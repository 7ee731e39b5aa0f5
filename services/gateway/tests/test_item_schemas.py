"""Rows of an eval are held to its schema, and a schema that nobody can hold rows to is refused."""

import json
from typing import Any

import openai
import pytest
from gateway_support.evals import EXACT, rows, run_of, sampled
from gateway_support.house import House
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from modelmill_gateway.evals.item_schema import MAX_DEPTH, MAX_SCHEMAS, BadSchemaError, ItemSchema

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "pattern": "^word [0-9]+$"},
        "right": {"$ref": "#/$defs/answer"},
        "secret": {"enum": ["a"]},
    },
    "required": ["text"],
    "$defs": {"answer": {"type": "string", "maxLength": 20}},
}


async def eval_of(house: House, schema: Any) -> Any:
    """An eval whose rows have that schema."""
    config: Any = {"type": "custom", "item_schema": schema}
    return await house.openai(tenant="schemas").evals.create(
        data_source_config=config, testing_criteria=[EXACT]
    )


async def test_rows_that_are_as_the_schema_says_are_run(house: House):
    client = house.openai(tenant="schemas")
    run = await run_of(client, await eval_of(house, SCHEMA), sampled(rows("Hello, world", "x")))

    assert (run.status, run.result_counts.total) == ("completed", 2)


@pytest.mark.parametrize("is_file", [True, False])
async def test_rows_that_are_not_are_named_by_number_and_nothing_is_asked(
    house: House, is_file: bool
):
    client = house.openai(tenant="schemas")
    content = rows(*["Hello, world"] * 4)
    content[1]["item"]["text"] = "hidden words"
    del content[2]["item"]["text"]
    content[3]["item"] |= {"right": "x" * 21, "secret": "hidden"}
    source = sampled(content)
    if is_file:
        lines = "\n".join(json.dumps(row) for row in content).encode()
        stored = await client.files.create(file=("rows.jsonl", lines), purpose="evals")
        source |= {"source": {"type": "file_id", "id": stored.id}}
    run = await run_of(client, await eval_of(house, SCHEMA), source)

    assert (run.status, run.error.code) == ("failed", "invalid_rows")
    first, second, third = run.error.message.split("; ")
    assert first == 'line 2: item.text: not as pattern "^word [0-9]+$" says'
    assert second == 'line 3: item: not as required ["text"] says'
    assert third.startswith("line 4: item.right: not as maxLength 20")
    assert "hidden" not in run.error.message
    assert house.inference.requests == []


async def test_of_many_wrong_rows_the_first_are_named(house: House):
    client = house.openai(tenant="schemas")
    found = await eval_of(house, {"required": ["nothing"]})
    run = await run_of(client, found, sampled(rows(*["x"] * 20)))

    assert run.error.message.count("line ") == 5


NESTED: Any = {}
for _ in range(MAX_DEPTH):
    NESTED = {"not": NESTED}
UNHELD: dict[str, tuple[Any, str]] = {
    "a schema elsewhere": ({"$ref": "https://a.example/b"}, "only what is in the schema"),
    "a file": ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "only what is in"),
    "a reference to nothing": ({"items": {"$ref": "#/$defs/a"}}, "nothing is there"),
    "one within what is referred to": (
        {"$ref": "#/x-mine", "x-mine": {"$ref": "https://a.example"}},
        "only what is in the schema",
    ),
    "itself": ({"$ref": "#"}, "itself without end"),
    "an expression of others": ({"properties": {"a": {"pattern": "(?=a)b"}}}, "none in RE2"),
    "an expression that explodes": ({"pattern": "((a{100}){100}){100}"}, "none in RE2"),
    "patternProperties": ({"patternProperties": {"a": {}}}, "patternProperties is not served"),
    "what is left over": ({"unevaluatedProperties": False}, "unevaluatedProperties is not"),
    "a dynamic reference": ({"not": {"$dynamicRef": "#a"}}, "dynamicRef is not served"),
    "another base": ({"properties": {"a": {"$id": "https://a.example"}}}, "id is not served"),
    "another dialect within": ({"not": {"$schema": "http://a.example"}}, "schema is not served"),
    "an old dialect": ({"$schema": "http://json-schema.org/draft-04/schema#"}, "draft-07"),
    "no type": ({"type": "objekt"}, "is no schema"),
    "no mapping": ({"properties": {"a": {"properties": 5}}}, "5 is no schema"),
    "too deep": (NESTED, "levels deep"),
    "too many": ({"anyOf": [{}] * MAX_SCHEMAS}, "subschemas"),
}


@pytest.mark.parametrize("name", UNHELD)
async def test_a_schema_that_rows_cannot_be_held_to_is_refused(house: House, name: str):
    schema, said = UNHELD[name]
    with pytest.raises(openai.BadRequestError, match=said) as refused:
        await eval_of(house, schema)

    assert refused.value.param == "data_source_config.item_schema"


async def test_what_only_looks_like_a_keyword_is_none():
    schema = {
        "properties": {"$ref": {"type": "string"}, "pattern": {"type": "integer"}},
        "const": {"$ref": "https://a.example", "pattern": 5},
        "$id": "https://a.example/mine",
        "$schema": "http://json-schema.org/draft-07/schema#",
    }
    assert ItemSchema(schema).wrong({"$ref": "https://a.example", "pattern": 5}, 9) == ""


async def test_expressions_are_re2s_which_no_text_makes_slow():
    schema = ItemSchema({"properties": {"x": {"pattern": r"^(\pN+)+$"}}})

    assert schema.wrong({"x": "१२"}, 9) == ""
    assert "pattern" in schema.wrong({"x": "1" * 60 + "!"}, 99)


DOUBLED: Any = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(20)}
DEAR: dict[str, tuple[Any, Any]] = {
    "references that double": (
        {"properties": {"x": {"$ref": "#/$defs/a0"}}, "$defs": DOUBLED | {"a20": {}}},
        1,
    ),
    "things that are compared each with each": (
        {"properties": {"x": {"uniqueItems": True}}},
        [{"a": number} for number in range(2000)],
    ),
    "a list that is read again and again": (
        {"properties": {"x": {"allOf": [{"items": {"type": "integer"}}] * 9}}},
        [1] * 2000,
    ),
    "a large text that is nothing of many things": (
        {"anyOf": [{"properties": {"x": {"type": "integer"}}}] * 200},
        "x" * (1 << 20),
    ),
    "what is nested by itself": ({"properties": {"x": {"$ref": "#"}}}, {}),
}
for _ in range(300):
    DEAR["what is nested by itself"] = (
        DEAR["what is nested by itself"][0],
        {"x": DEAR["what is nested by itself"][1]},
    )


@pytest.mark.parametrize("name", DEAR)
async def test_a_row_that_would_take_too_long_is_refused_for_it(name: str):
    schema, value = DEAR[name]
    said = ItemSchema(schema).wrong({"x": value}, len(json.dumps(value)))

    assert "too many steps" in said or "nested too deeply" in said


@pytest.mark.tier("test")
async def test_all_rows_together_have_an_end_too():
    schema = ItemSchema({"properties": {"x": {"items": {"type": "integer"}}}})
    said = [schema.wrong({"x": [1] * 5000}, 15_000) for _ in range(100)]

    assert said[0] == ""
    assert "or the rows up to it" in said[-1]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 10**400, [1.5] * 1500, "\ud800", [{"a": 1}] * 2]
)
async def test_strange_values_are_right_or_wrong_and_never_an_error(value: Any):
    held = {"multipleOf": 0.1, "pattern": "^x", "minimum": 1, "uniqueItems": True}
    schema = ItemSchema({"properties": {"x": held}})

    assert isinstance(schema.wrong({"x": value}, 100), str)


NAMES = st.sampled_from("abc")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "ba"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
KEYWORDS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array", "string", "integer", "null"]),
        "pattern": st.sampled_from(["^a", "b$", "a+b", "^(a|b)*$"]),
        "minLength": st.integers(0, 2),
        "maximum": st.integers(-1, 2),
        "required": st.lists(NAMES, unique=True, max_size=2),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "uniqueItems": st.booleans(),
        "maxItems": st.integers(0, 2),
        "additionalProperties": st.booleans(),
        "$ref": st.just("#/$defs/a"),
    },
)
SCHEMAS = st.recursive(
    KEYWORDS,
    lambda inner: st.builds(
        lambda own, more: own | more,
        KEYWORDS,
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(NAMES, inner, max_size=3),
                "items": inner,
                "contains": inner,
                "prefixItems": st.lists(inner, min_size=1, max_size=2),
                "anyOf": st.lists(inner, min_size=1, max_size=2),
                "oneOf": st.lists(inner, min_size=1, max_size=2),
                "not": inner,
                "if": inner,
                "then": inner,
                "propertyNames": inner,
            },
        ),
    ),
    max_leaves=6,
)


@pytest.mark.tier("check")
@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=3))
async def test_an_item_is_wrong_if_the_standard_says_so(schema: Any, item: Any):
    whole = schema | {"$defs": {"a": {"type": ["string", "integer"]}}}
    try:
        held = ItemSchema(whole)
    except BadSchemaError as error:
        raise AssertionError(f"{whole} was refused: {error}") from error

    assert (held.wrong(item, 100) == "") == Draft202012Validator(whole).is_valid(item)
