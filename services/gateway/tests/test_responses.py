"""OpenAI's Responses API by the unmodified SDK: whole, streamed, with calls; nothing is kept."""

import json
from typing import Any

import pytest
from gateway_support.document import schema_validator
from gateway_support.house import BUILD, House
from gateway_support.responses import ARGUMENTS, SCHEMA, TOOL, ask, calls, events
from gateway_support.usage import last_usage
from modelmill_testkit.waiting import eventually
from pydantic import BaseModel

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Kind(BaseModel):
    """A form for an answer."""

    name: str


async def test_a_response_is_whole_with_usage_and_the_version_that_answered(house: House):
    raw = await house.openai().responses.with_raw_response.create(
        model="default",
        input="hello",
        instructions="be brief",
        max_output_tokens=9,
        temperature=0,
        metadata={"a": "b"},
        store=False,
        user="u",
    )
    answer = raw.parse()

    assert (answer.output_text, answer.status, answer.model) == (
        *("Hello, world", "completed", "default"),
    )
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 3)
    assert raw.headers["x-model-version"] == BUILD
    assert (answer.instructions, answer.metadata, answer.user) == ("be brief", {"a": "b"}, "u")
    assert answer.store is False
    assert answer.error is answer.incomplete_details is None
    request = house.inference.requests[0]
    assert [(it.role, it.content) for it in request.conversation.messages] == [
        ("system", "be brief"),
        ("user", "hello"),
    ]
    assert (request.options.max_new_tokens, request.options.temperature) == (9, 0)


async def test_a_stream_has_openais_events_in_order_with_numbers(house: House):
    told = await events(house)

    assert [event["type"].removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *3 * ["output_text.delta"],
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert "".join(event["delta"] for event in told[4:7]) == told[7]["text"] == "Hello, world"
    assert told[0]["response"]["status"] == "in_progress"
    assert told[0]["response"]["output"] == []
    assert told[-1]["response"]["output"] == [told[-2]["item"]]
    assert told[-1]["response"]["usage"]["total_tokens"] == 10


async def test_the_sdks_stream_ends_with_what_a_whole_response_says(house: House):
    calls(house, ARGUMENTS, "{}")
    house.inference.pieces = ["Let me", " see."]
    async with house.openai().responses.stream(
        model="default", input="hello", tools=[TOOL]
    ) as stream:
        seen = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    whole = await ask(house, tools=[TOOL])

    assert "response.function_call_arguments.done" in seen
    for answer in (streamed, whole):
        message, first, second = answer.output
        assert message.content[0].text == "Let me see."
        assert (first.call_id, first.name, first.arguments) == ("call00000", "weather", ARGUMENTS)
        assert (second.call_id, second.arguments) == ("call00001", "{}")


async def test_text_is_streamed_as_the_engine_said_it(house: House):
    strange = ['"', "\\", "\n", "\u2028", "\x00", "日本", "🜁", "data: [DONE]\n\n"]
    house.inference.pieces = strange
    told = await events(house)

    texts = [it["delta"] for it in told if it["type"].endswith("text.delta")]
    assert "".join(texts) == "".join(strange)


async def test_items_are_turns_in_their_order(house: House):
    calls(house, ARGUMENTS)
    first = await ask(house, tools=[TOOL])
    house.inference.reset()
    await ask(
        house,
        tools=[TOOL],
        input=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
            *(item.model_dump(exclude_none=True) for item in first.output),
            {"type": "function_call_output", "call_id": "call00000", "output": "sun"},
            {
                "type": "function_call_output",
                "call_id": "call00001",
                "output": [{"type": "input_text", "text": "rain"}],
            },
            {"type": "message", "role": "user", "content": "and now?"},
        ],
    )
    turns = house.inference.requests[0].conversation.messages

    assert [(it.role, it.content, it.tool_call_id) for it in turns] == [
        ("system", "be brief", ""),
        ("user", "hello", ""),
        ("assistant", "Hello, world", ""),
        ("tool", "sun", "call00000"),
        ("tool", "rain", "call00001"),
        ("user", "and now?", ""),
    ]
    (call,) = turns[2].tool_calls
    assert (call.id, call.name, call.arguments) == ("call00000", "weather", ARGUMENTS)


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "weather"}, "weather"),
    ],
)
async def test_a_choice_of_tools_reaches_the_engine(house: House, choice: Any, word: str):
    answer = await ask(house, tools=[TOOL], tool_choice=choice, parallel_tool_calls=word == "none")

    conversation = house.inference.requests[0].conversation
    assert conversation.tool_choice == word
    assert json.loads(conversation.tools[0].parameters_schema) == SCHEMA
    assert json.loads(answer.model_dump_json())["tool_choice"] == choice


async def test_the_sdk_parses_an_answer_that_has_the_form_of_its_model(house: House):
    house.inference.pieces = ['{"name": ', '"oak"}']
    answer = await house.openai().responses.parse(model="default", input="a", text_format=Kind)

    assert answer.output_parsed == Kind(name="oak")
    schema = json.loads(house.inference.requests[0].options.constraint.json_schema)
    assert schema["properties"].keys() == {"name"}


async def test_log_probabilities_come_when_they_are_included(house: House):
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    answer = await ask(house, **asked)
    told = [it for it in await events(house, **asked) if it["type"].endswith("text.delta")]

    whole = answer.output[0].content[0].logprobs
    assert [token.token for token in whole] == ["Hello", ", ", "world"]
    assert whole[0].top_logprobs[0].token == "Hello"
    assert [token["token"] for it in told for token in it["logprobs"]] == ["Hello", ", ", "world"]


async def test_usage_is_recorded_as_of_a_chat(house: House):
    answer = await house.openai(tenant="responder").responses.create(model="default", input="a")

    async def recorded() -> object:
        return await last_usage(house.bus, "responder")

    usage = (await eventually(recorded)).body
    assert usage.request_id.removeprefix("req-") == answer.id.removeprefix("resp_")
    assert (usage.version_id, usage.completion_tokens) == (BUILD, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"input": [{"role": "user", "content": "a"}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
        {"input": [{"type": "function_call_output", "call_id": "a", "output": "b"}]},
    ],
)
async def test_inputs_in_their_forms_have_the_documents_shape(change: dict[str, Any]):
    validator = schema_validator({"$ref": "#/components/schemas/ResponseBody"})
    validator.validate({"model": "default"} | change)
