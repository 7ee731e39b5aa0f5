"""The form of an answer: however a client says it, the engine hears one thing."""

import json
from typing import Any

import openai
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import House
from gateway_support.peers import engine_cannot
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2 import Choices, Constraint
from modelmill_gateway.entrypoints.schemas.constraints import ANY_OBJECT
from modelmill_service_kit.errors import InvalidInputError
from pydantic import BaseModel

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"größe": {"type": "integer"}}}
NAMED = {"name": "a", "schema": SCHEMA, "strict": True}


class Kind(BaseModel):
    """What the SDK makes a schema of by itself."""

    name: str


def asked(house: House) -> Constraint:
    (request,) = house.inference.requests
    return request.options.constraint


@pytest.mark.parametrize(
    ("field", "constraint"),
    [
        ({"response_format": {"type": "text"}}, Constraint()),
        (
            {"response_format": {"type": "json_object"}},
            Constraint(json_schema=ANY_OBJECT),
        ),
        ({"guided_regex": "[ab]+"}, Constraint(regex="[ab]+")),
        ({"guided_choice": ["a", "b"]}, Constraint(choice=Choices(texts=["a", "b"]))),
        ({"structured_outputs": {"regex": "a"}}, Constraint(regex="a")),
        ({"structured_outputs": {"choice": ["a"]}}, Constraint(choice=Choices(texts=["a"]))),
    ],
)
@pytest.mark.parametrize("route", ["chat", "completions"])
async def test_each_way_to_say_it_reaches_the_engine(
    house: House, route: str, field: dict[str, Any], constraint: Constraint
):
    if route == "chat":
        create = house.openai().chat.completions.create
        await create(model="default", messages=QUESTION, extra_body=field)
    else:
        await house.openai().completions.create(model="default", prompt="a", extra_body=field)

    assert asked(house) == constraint


@pytest.mark.parametrize(
    "field",
    [
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": SCHEMA},
            }
        },
        {"guided_json": SCHEMA},
        {"structured_outputs": {"json": SCHEMA}},
    ],
)
async def test_a_schema_arrives_as_it_was_sent(house: House, field: dict[str, Any]):
    async with house.http() as client:
        body = {"model": "default", "messages": QUESTION, **field}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200

    assert json.loads(asked(house).json_schema) == SCHEMA


async def test_the_sdk_parses_an_answer_that_has_the_form_of_its_model(house: House):
    house.inference.pieces = ['{"name": ', '"oak"}']
    answer = await house.openai().chat.completions.parse(
        model="default", messages=QUESTION, response_format=Kind
    )

    assert answer.choices[0].message.parsed == Kind(name="oak")
    assert json.loads(asked(house).json_schema)["properties"].keys() == {"name"}


async def test_a_form_that_the_engine_cannot_hold_is_the_callers_to_change(house: House):
    house.inference.fail_before = engine_cannot()
    with pytest.raises(openai.BadRequestError, match="cannot constrain") as refused:
        await house.openai().chat.completions.create(
            model="default", messages=QUESTION, response_format={"type": "json_object"}
        )
    assert refused.value.code == "engine_cannot"


async def test_an_impossible_form_is_refused_with_the_engines_words(house: House):
    house.inference.fail_before = InvalidInputError("json_schema: no text satisfies it")
    with pytest.raises(openai.BadRequestError, match="no text satisfies it"):
        await house.openai().chat.completions.create(
            model="default", messages=QUESTION, extra_body={"guided_json": False}
        )
    assert asked(house).json_schema == "false"


async def test_grpc_passes_a_form_on_as_it_is(house: House):
    constraint = Constraint(choice=Choices(texts=["yes", "no"]))
    messages = [{"role": "user", "content": "hello"}]
    call = pb.ChatCall(model="default", messages=messages, constraint=constraint)
    async with grpc_stub(house) as stub:
        await stub.Chat(pb.ChatRequest(call=call), timeout=CALL_SECONDS)

    assert asked(house) == constraint
