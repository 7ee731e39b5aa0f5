"""What may be asked of a dataset: every part of the spec passes as it was given, and no other."""

from typing import Any

import pytest
from gateway_support.house import BASE, House
from google.protobuf.json_format import MessageToDict
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill_gateway.entrypoints.schemas.datasets import DatasetSpecBody

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYTHING: dict[str, Any] = {
    "file_id": "file-x",
    "name": "all",
    "mapping": {
        "system_template": "s",
        "user_template": "{q}",
        "answer_template": "{a}",
        "rejected_template": "{b}",
        "tools_column": "tools",
    },
    "shares": {"train": 0.5, "valid": 0.25, "test": 0.25},
    "seed": 7,
    "max_test_rows": 200,
    "clean": {"transforms": ["markup", "spaces"]},
    "filter": {
        "preset": "standard",
        "thresholds": {"characters.min": 5.0},
        "languages": ["zh", "en"],
    },
    "entities": {"actions": {"*": "mask", "email": "drop"}, "spacy_models": {"en": "en_core"}},
    "duplicates": {
        "keep_exact": True,
        "near_threshold": 0.75,
        "evaluation_file_ids": ["file-y"],
        "contamination_threshold": 0.5,
    },
    "augment": {
        "steps": [
            {
                "method": "synonyms",
                "share": 0.5,
                "min_similarity": 0.25,
                "max_similarity": 0.75,
                "model": "kinds",
            }
        ]
    },
    "curriculum": {
        "order": "competence",
        "weights": {"length": 1.0},
        "loss_model": "kinds",
        "initial_competence": 0.25,
    },
    "tokenize": {"model": BASE, "max_tokens": 512, "pack_tokens": 2048},
}


def fields_of(message: Any) -> Any:
    """Names of all fields, those of messages in it with theirs; None for a plain value."""
    if message is None or message.GetOptions().map_entry:
        return None
    return {field.name: fields_of(field.message_type) for field in message.fields}


def shapes_of(schema: Any, definitions: Any) -> Any:
    """The same of the schema of a field."""
    for choice in (schema, *schema.get("anyOf", ())):
        inner = choice.get("items", {}) if choice.get("type") == "array" else choice
        if "$ref" in inner:
            shape = definitions[inner["$ref"].rpartition("/")[2]]
            return {
                name: shapes_of(each, definitions) for name, each in shape["properties"].items()
            }
    return None


async def test_the_body_has_every_field_of_the_spec_and_no_other():
    schema = DatasetSpecBody.model_json_schema()
    shape = {name: shapes_of(each, schema["$defs"]) for name, each in schema["properties"].items()}

    assert shape == fields_of(DatasetSpec.DESCRIPTOR)


async def test_every_part_of_a_spec_reaches_data_prep_as_it_was_given(house: House):
    async with house.http(tenant="spec-tenant") as client:
        stored = await client.post(
            "/v1/files", files={"file": ("a.jsonl", b"{}")}, data={"purpose": "fine-tune"}
        )
        body = {**EVERYTHING, "file_id": stored.json()["id"]}
        ordered = await client.post("/v1/datasets", json=body)
        previewed = await client.post("/v1/datasets/preview", json={**body, "rows": 2})

    assert (ordered.status_code, previewed.status_code) == (202, 200)
    for spec in (house.data_prep.specs[-1], house.data_prep.previewed[-1].spec):
        given = MessageToDict(spec, preserving_proto_field_name=True)
        assert given == {**body, "seed": "7"}
    assert house.data_prep.previewed[-1].rows == 2
    assert house.data_prep.previewed[-1].tenant == "spec-tenant"


async def test_the_model_of_token_ids_may_be_named_and_must_be_one_that_is_trained(house: House):
    async with house.http(tenant="names-models") as client:
        stored = await client.post(
            "/v1/files", files={"file": ("a.jsonl", b"{}")}, data={"purpose": "fine-tune"}
        )
        body = {**EVERYTHING, "file_id": stored.json()["id"]}
        named = await client.post("/v1/datasets", json={**body, "tokenize": {"model": "tiny"}})
        unknown = await client.post("/v1/datasets", json={**body, "tokenize": {"model": "none"}})

    assert (named.status_code, unknown.status_code) == (202, 404)
    assert house.data_prep.specs[-1].tokenize.model == BASE


async def test_a_preview_shows_rows_and_why_others_would_not_be_kept(house: House):
    body = {"file_id": "file-x", "mapping": {"layout": "text"}}
    async with house.http() as client:
        answer = (await client.post("/v1/datasets/preview", json=body)).json()
        proposed = (await client.post("/v1/datasets/preview", json={"file_id": "file-x"})).json()

    assert answer.pop("mapping")["layout"] == "text"
    said = {name: value for name, value in proposed["mapping"].items() if value}
    assert said == {"user_template": "{word}", "answer_template": "{kind}"}
    assert answer == {
        "object": "dataset.preview",
        "columns": ["word", "kind"],
        "reading": {"encoding": "big5", "delimiter": ";"},
        "data": [
            {"line": 1, "row": {"messages": []}, "reason": None, "changes": ["spaces@1"]},
            {"line": 3, "row": None, "reason": "read.not_json: not JSON", "changes": []},
        ],
    }
    assert house.data_prep.previewed[-1].rows == 10


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"clean": {"transform": []}},
            "clean.transform: unknown field. Did you mean 'transforms'?",
        ),
        ({"filter": {"thresholds": {"characters.min": "5"}}}, "filter.thresholds.characters.min"),
        ({"entities": {"actions": ["mask"]}}, "entities.actions"),
        ({"duplicates": {"near_threshold": 1.5}}, "duplicates.near_threshold"),
        ({"augment": {"steps": [{"method": "synonyms"}]}}, "augment.steps.0.share"),
        ({"tokenize": {"max_tokens": -1}}, "tokenize.max_tokens"),
        ({"mapping": {"layout": 1}}, "mapping.layout"),
        ({"rows": 101}, "rows"),
    ],
    ids=str,
)
async def test_a_part_of_another_shape_is_named(
    house: House, change: dict[str, object], complaint: str
):
    body = {"file_id": "file-x", "mapping": {"layout": "text"}, **change}
    async with house.http() as client:
        answer = await client.post("/v1/datasets/preview", json=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["errors"][0].startswith(complaint)


async def test_a_preview_of_an_unknown_file_is_not_found(house: House):
    body = {"file_id": "file-nobody", "mapping": {"layout": "text"}}
    async with house.http() as client:
        assert (await client.post("/v1/datasets/preview", json=body)).status_code == 404
