"""The API document is valid, complete, and says what is true; every other test compares answers."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from gateway_support.document import (
    body_example,
    document,
    operation_of,
    resolved,
    schema_validator,
)
from modelmill_gateway.domain.routes import ROUTES, Body
from modelmill_gateway.entrypoints.document.openapi import (
    UndocumentedRouteError,
    openapi_document,
)
from modelmill_gateway.entrypoints.document.operations import OPERATIONS
from modelmill_gateway.entrypoints.document.refusals import REFUSALS
from openapi_spec_validator import validate

JSON = "application/json"
VERBS = (
    "Add|Begin|Cancel|Check|Compare|Complete|Count|Create|Delete|Download|Estimate|Generate|Get|List|"
    "Moderate|Pause|Preview|Put|Receive|Record|Register|Resume|Revert|Revoke|Rotate|Send|Set|"
    "Stop|Suspend|Update|Upload"
)
MAX_SUMMARY_WORDS, MAX_SENTENCE_WORDS = 12, 30
WITH_BODY = [name for name, operation in OPERATIONS.items() if operation.body is not None]


@pytest.mark.tier("test")
def test_it_is_valid_openapi():
    validate(document())


def texts(part: object, key: str) -> Iterator[str]:
    """Every text under a key of the document, but for examples."""
    if isinstance(part, list):
        for each in part:
            yield from texts(each, key)
    elif isinstance(part, dict):
        if isinstance(part.get(key), str):
            yield part[key]
        for name, inner in part.items():
            if name not in ("example", "examples"):
                yield from texts(inner, key)


def words(sentence: str) -> int:
    """Words of a sentence; code counts as one."""
    return len(re.sub("`[^`]*`", "code", sentence).split())


def test_a_summary_is_an_imperative_of_at_most_12_words():
    summaries = list(texts(document(), "summary"))
    rule = re.compile(rf"(?:{VERBS}) .*\.")

    assert len(summaries) > len(OPERATIONS)
    assert [it for it in summaries if not rule.fullmatch(it)] == []
    assert [it for it in summaries if words(it) > MAX_SUMMARY_WORDS] == []


def test_no_sentence_of_a_description_has_more_than_30_words():
    sentences = [
        sentence
        for text in texts(document(), "description")
        for sentence in re.split(r"(?<=[.!?])\s", text)
    ]
    assert [it for it in sentences if words(it) > MAX_SENTENCE_WORDS] == []


@pytest.mark.parametrize(
    "name",
    ["HyperParametersBody", "TrainingLimitsBody", "DistributionBody", "TeacherAnswersBody"],
)
def test_every_choice_of_a_training_is_described(name: str):
    fields = document()["components"]["schemas"][name]["properties"]

    assert [each for each in fields if not fields[each].get("description")] == []


def test_what_endpoints_are_sent_is_in_it_with_an_example():
    sent = document()["webhooks"]["event"]["post"]
    content = sent["requestBody"]["content"][JSON]

    schema_validator(content["schema"]).validate(content["example"])
    assert {each["name"] for each in sent["parameters"]} == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }


def test_a_route_is_documented():
    openapi_document(ROUTES)
    assert OPERATIONS.keys() <= {route.name for route in ROUTES}


def test_an_undocumented_route_is_named_with_the_file_to_describe_it_in():
    route = replace(ROUTES[0], name="forecast")

    with pytest.raises(UndocumentedRouteError, match=r"forecast\. .*document/operations\.py"):
        openapi_document((*ROUTES, route))


def test_a_route_has_a_shape_and_an_example_for_its_body_and_its_answer():
    for route in ROUTES:
        if route.name not in OPERATIONS:
            continue
        operation = operation_of(route.name)
        status, answer = next(iter(operation["responses"].items()))
        assert status in ("200", "201", "202", "307"), route.name
        assert bool(answer["content"]) == (status != "307"), route.name
        if JSON in answer["content"]:
            assert "example" in answer["content"][JSON], route.name
        body = operation.get("requestBody", {}).get("content", {})
        assert bool(body) == (route.body is not Body.NONE), route.name
        assert all("example" in content for content in body.values()), route.name


@pytest.mark.parametrize("name", WITH_BODY)
def test_an_example_body_is_taken_by_the_route_and_by_the_documents_shape(name: str):
    example = body_example(name)
    OPERATIONS[name].body.model_validate_json(json.dumps(example))

    schema = operation_of(name)["requestBody"]["content"][JSON]["schema"]
    schema_validator(schema).validate(example)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_example_answer_has_the_shape_that_it_stands_beside(name: str):
    operation = OPERATIONS[name]
    if operation.response is not None:
        content = operation_of(name)["responses"][str(operation.status)]["content"][JSON]
        schema_validator(content["schema"]).validate(content["example"])


@pytest.mark.parametrize(
    ("shape", "always", "at_times"),
    [("Alias", {"id", "object"}, {"variants"}), ("ChatCompletion", {"usage"}, {"moderation"})],
)
def test_a_shape_requires_what_is_always_there_and_nothing_else(
    shape: str, always: set[str], at_times: set[str]
):
    required = {*document()["components"]["schemas"][shape]["required"]}

    assert always <= required
    assert not at_times & required


@pytest.mark.parametrize("status", REFUSALS)
def test_an_example_of_a_refusal_has_the_shape_of_every_refusal(status: int):
    content = resolved({"$ref": f"#/components/responses/{REFUSALS[status].name}"})["content"]
    schema_validator(content[JSON]["schema"]).validate(content[JSON]["example"])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("chat", {"stop": "\n"}),
        ("chat", {"stop": ["a", "b"]}),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}),
        ("chat", {"response_format": {"type": "json_object"}, "n": 2, "logprobs": True}),
        ("complete", {"guided_choice": ["beverage", "tree"]}),
        ("complete", {"structured_outputs": {"json": {"type": "object"}}}),
        ("complete", {"prompt": "one"}),
        ("embed", {"input": "one"}),
        ("moderate", {"input": "one"}),
        ("moderate", {"input": [{"type": "text", "text": "a"}]}),
    ],
)
def test_what_a_route_takes_in_several_forms_is_documented_in_all(
    name: str, change: dict[str, object]
):
    changed = body_example(name) | change
    OPERATIONS[name].body.model_validate_json(json.dumps(changed))
    schema = operation_of(name)["requestBody"]["content"][JSON]["schema"]
    schema_validator(schema).validate(changed)
