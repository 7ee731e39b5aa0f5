"""Anthropic's Messages API: the same models in other words, whole and as events."""

import asyncio
import json
from typing import Any

import pytest
from gateway_support.house import BUILD, House
from gateway_support.messages import PATH, QUESTION, SCHEMA, TOOL, asking, calls, events, post
from gateway_support.usage import last_usage
from modelmill_gateway.entrypoints.schemas.chat import parse_chat
from modelmill_gateway.entrypoints.schemas.messages import parse_messages
from modelmill_gateway.entrypoints.schemas.responses import parse_response
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_message_is_answered_whole_with_usage_and_the_version_that_answered(house: House):
    answer = await post(house, system="be brief", temperature=0.5, top_p=0.5, top_k=3)
    said = answer.json()

    assert said["content"] == [{"type": "text", "text": "Hello, world"}]
    assert (said["type"], said["role"], said["model"]) == ("message", "assistant", "default")
    assert (said["stop_reason"], said["stop_sequence"]) == ("end_turn", None)
    assert (said["usage"]["input_tokens"], said["usage"]["output_tokens"]) == (7, 3)
    assert answer.headers["x-model-version"] == BUILD
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert said["id"].removeprefix("msg_") == answer.headers["request-id"].removeprefix("req-")
    request = house.inference.requests[0]
    assert [(it.role, it.content) for it in request.conversation.messages] == [
        ("system", "be brief"),
        ("user", "hello"),
    ]
    options = request.options
    assert (options.max_new_tokens, options.top_k) == (9, 3)
    assert options.temperature == options.top_p == 0.5


async def test_a_stream_has_anthropics_events_in_their_order(house: House):
    told = await events(house)

    assert [event["type"] for event in told] == [
        "message_start",
        "ping",
        "content_block_start",
        *3 * ["content_block_delta"],
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert told[0]["message"]["content"] == []
    assert told[0]["message"]["stop_reason"] is None
    assert told[2]["content_block"] == {"type": "text", "text": ""}
    assert "".join(event["delta"]["text"] for event in told[3:6]) == "Hello, world"
    assert told[7]["delta"]["stop_reason"] == "end_turn"
    assert (told[7]["usage"]["input_tokens"], told[7]["usage"]["output_tokens"]) == (7, 3)


async def test_text_is_streamed_as_the_engine_said_it(house: House):
    strange = ['"', "\\", "\n", "\u2028", "\x00", "日本", "🜁", "event: error\ndata: {}\n\n"]
    house.inference.pieces = strange
    told = await events(house)

    texts = [it["delta"]["text"] for it in told if it["type"] == "content_block_delta"]
    assert "".join(texts) == "".join(strange)


@pytest.mark.parametrize(
    ("finish_reason", "stop_text", "said"),
    [
        ("stop", "", ("end_turn", None)),
        ("stop", "\n\n", ("stop_sequence", "\n\n")),
        ("length", "", ("max_tokens", None)),
    ],
)
async def test_an_answer_says_why_it_ended_and_by_which_sequence(
    house: House, finish_reason: str, stop_text: str, said: tuple[str, str | None]
):
    house.inference.finish_reason, house.inference.stop_text = finish_reason, stop_text
    whole = (await post(house, stop_sequences=["\n\n", "x"])).json()
    (delta,) = [e["delta"] for e in await events(house) if e["type"] == "message_delta"]

    assert (whole["stop_reason"], whole["stop_sequence"]) == said
    assert (delta["stop_reason"], delta["stop_sequence"]) == said
    assert house.inference.requests[0].options.stop == ["\n\n", "x"]


async def test_tools_reach_the_engine_and_its_calls_are_blocks(house: House):
    calls(house, '{"city": "Zürich"}', "{}")
    said = (await post(house, tools=[TOOL], tool_choice={"type": "auto"})).json()
    conversation = house.inference.requests[0].conversation

    assert said["stop_reason"] == "tool_use"
    assert said["content"] == [
        {"type": "text", "text": "Hello, world"},
        {"type": "tool_use", "id": "call00000", "name": "weather", "input": {"city": "Zürich"}},
        {"type": "tool_use", "id": "call00001", "name": "weather", "input": {}},
    ]
    (tool,) = conversation.tools
    assert (tool.name, tool.description) == ("weather", "How it is.")
    assert json.loads(tool.parameters_schema) == SCHEMA
    assert conversation.tool_choice == "auto"


async def test_each_streamed_call_is_a_block_behind_the_text(house: House):
    calls(house, '{"city": "Zürich"}', "{}")
    told = [it for it in await events(house, tools=[TOOL]) if "content_block" in it["type"]]

    starts = [it["content_block"]["type"] for it in told if it["type"].endswith("start")]
    assert starts == ["text", "tool_use", "tool_use"]
    assert [it["index"] for it in told if it["type"].endswith("stop")] == [0, 1, 2]
    inputs = [it["delta"].get("partial_json") for it in told if it["type"].endswith("delta")]
    assert [json.loads(it) for it in inputs if it] == [{"city": "Zürich"}, {}]
    assert [it["index"] for it in told] == sorted(it["index"] for it in told)


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "weather", "disable_parallel_tool_use": True}, "weather"),
    ],
)
async def test_a_choice_of_tools_reaches_the_engine(house: House, choice: Any, word: str):
    await post(house, tools=[TOOL], tool_choice=choice)

    assert house.inference.requests[0].conversation.tool_choice == word


async def test_calls_and_their_results_are_turns_in_their_order(house: House):
    texts = [{"type": "text", "text": "I"}, {"type": "text", "text": "ask"}]
    use = {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Bern"}}
    answered = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sun"}]},
        {"type": "tool_result", "tool_use_id": "b", "content": "gone", "is_error": True},
        {"type": "text", "text": "and now?"},
    ]
    messages = [
        QUESTION,
        QUESTION,
        {"role": "assistant", "content": [*texts, use]},
        {"role": "user", "content": answered},
        {"role": "system", "content": "be brief"},
    ]
    await post(house, messages=messages, tools=[TOOL])
    turns = house.inference.requests[0].conversation.messages

    assert [(it.role, it.content, it.tool_call_id) for it in turns] == [
        ("user", "hello\nhello", ""),
        ("assistant", "I\nask", ""),
        ("tool", "sun", "a"),
        ("tool", "Error: gone", "b"),
        ("user", "and now?", ""),
        ("system", "be brief", ""),
    ]
    (call,) = turns[1].tool_calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("a", "weather", {"city": "Bern"})


async def test_a_schema_of_the_answer_reaches_the_engine(house: House):
    form = {"type": "json_schema", "schema": SCHEMA}
    house.inference.pieces = ["{}"]
    assert (await post(house, output_config={"format": form})).status_code == 200

    assert json.loads(house.inference.requests[0].options.constraint.json_schema) == SCHEMA


async def test_a_client_that_leaves_takes_its_generation_with_it(house: House):
    house.inference.endless = True
    async with house.http().stream("POST", PATH, json=asking(stream=True)) as answer:
        async for line in answer.aiter_lines():
            if "content_block_delta" in line:
                break

    async def gone() -> bool:
        await asyncio.sleep(0)
        return house.inference.cancelled == 1 and house.inference.in_flight == 0

    await eventually(gone)


async def test_usage_is_recorded_as_of_a_chat(house: House):
    answer = await house.http(tenant="anthropics").post(PATH, json=asking())

    async def recorded() -> object:
        return await last_usage(house.bus, "anthropics")

    usage = (await eventually(recorded)).body
    assert usage.request_id == answer.headers["request-id"]
    assert (usage.version_id, usage.completion_tokens) == (BUILD, 3)


async def test_a_prompt_is_counted_as_it_would_be_asked_and_nothing_is_generated(house: House):
    body = asking(system="be brief", tools=[TOOL], tool_choice={"type": "any"})
    del body["max_tokens"]
    answer = await house.http().post(f"{PATH}/count_tokens", json=body)

    assert answer.json() == {"input_tokens": 20}
    assert answer.headers["x-model-version"] == BUILD
    (counted,) = house.inference.counted
    assert house.inference.requests == []
    await post(house, system="be brief", tools=[TOOL], tool_choice={"type": "any"})
    assert house.inference.requests[0].conversation == counted.conversation


async def test_what_cannot_be_counted_is_refused_in_anthropics_shape(house: House):
    for changes, status in (({"model": "nobody"}, 404), ({"messages": []}, 400)):
        answer = await house.http().post(f"{PATH}/count_tokens", json=asking(**changes))

        assert (answer.status_code, answer.json()["type"]) == (status, "error")


async def test_who_it_is_for_decides_for_a_variant_in_every_dialect():
    bodies = (
        (parse_messages, asking(metadata={"user_id": "ada"})),
        (parse_response, {"model": "default", "input": "a", "user": "ada"}),
        (parse_chat, {"model": "default", "messages": [QUESTION], "user": "ada"}),
    )
    assert [parse(json.dumps(body).encode()).call.user for parse, body in bodies] == 3 * ["ada"]
