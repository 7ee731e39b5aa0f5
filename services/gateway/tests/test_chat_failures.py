"""What callers of the text routes hear when something is wrong, and what stops when they leave."""

import asyncio
import json

import httpx
import pytest
from gateway_support.house import BUILD, House
from gateway_support.peers import prompt_too_long
from gateway_support.usage import last_usage
from modelmill_service_kit.errors import (
    DeadlineError,
    InvalidInputError,
    OverloadedError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
)
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "look"}}
OTHER_TOOL = {"type": "function", "function": {"name": "other"}}


def ask(**changes: object) -> dict[str, object]:
    return {"model": "default", "messages": QUESTION} | changes


async def post(house: House, body: object, **claims: object) -> httpx.Response:
    async with house.http(**claims) as client:
        return await client.post("/v1/chat/completions", json=body)


async def test_generate_answers_one_user_turn_with_fifty_tokens(house: House):
    async with house.http() as client:
        answer = await client.post("/generate", json={"prompt": "once"})

    assert answer.json() == {"text": "Hello, world"}
    assert answer.headers["x-model-version"] == BUILD
    request = house.inference.requests[0]
    turns = [(turn.role, turn.content) for turn in request.conversation.messages]
    assert (turns, request.options.max_new_tokens) == ([("user", "once")], 50)
    assert request.options.temperature == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (
            prompt_too_long(),
            400,
            "context_length_exceeded",
        ),
        (OverloadedError("full", retry_after_seconds=3.2), 503, "overloaded"),
        (
            OverloadedError("it is loading", retry_after_seconds=3.2).because("MODEL_LOADING"),
            *(503, "model_loading"),
        ),
        (OverloadedError("no time", retry_after_seconds=3.2).because("NO_TIME"), 503, "no_time"),
        (TooLargeError("1001 tokens, the limit is 1000"), 413, "too_large"),
        (UnavailableError("restarting", retry_after_seconds=0.1), 503, "unavailable"),
        (DeadlineError("too slow"), 504, "deadline_exceeded"),
    ],
)
async def test_an_engine_that_refuses_before_the_first_byte_gives_a_status(
    house: House, failure: Exception, status: int, code: str, stream: bool
):
    house.inference.fail_before = failure
    answer = await post(house, ask(stream=stream))

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert str(failure) in answer.json()["error"]["message"]
    wait = {"overloaded": "4", "no_time": "4", "model_loading": "4", "unavailable": "1"}.get(code)
    assert answer.headers.get("retry-after") == wait


async def test_an_engine_that_fails_later_ends_the_stream_with_an_error_event(house: House):
    house.inference.fail_after = UnavailableError("the engine is restarting")
    answer = await post(house, ask(stream=True))
    events = answer.text.strip().split("\n\n")

    assert answer.status_code == 200
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "unavailable"
    assert "[DONE]" not in answer.text


async def test_an_engine_that_fails_later_gives_a_status_to_who_waits_for_the_whole(house: House):
    house.inference.fail_after = UnavailableError("the engine is restarting")

    assert (await post(house, ask())).status_code == 503


async def test_a_bug_of_the_engine_is_told_to_nobody(house: House):
    house.inference.fail_before = RuntimeError("secret path /srv/x")  # type: ignore[assignment]
    answer = await post(house, ask())

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "failure", [UnavailableError("down"), PreconditionError("no bundle"), DeadlineError("slow")]
)
async def test_without_moderations_verdict_nothing_passes(house: House, failure: Exception):
    house.moderation.fail = failure
    answer = await post(house, ask())

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert house.inference.requests == []


async def test_an_input_longer_than_moderation_reads_is_refused(house: House):
    house.moderation.fail = InvalidInputError("the text has 9 characters; the limit is 8")
    answer = await post(house, ask())

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "input_too_long")


async def test_an_unknown_model_is_named(house: House):
    answer = await post(house, ask(model="gpt-9"))

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "gpt-9" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "assistant"}]}, "messages.0.content"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages.0.content",
        ),
        ({"model": 3}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 2**40}, "max_completion_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"seed": 2**70}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [TOOL | {"type": "retrieval"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        ({"tools": [TOOL], "logprobs": True}, "logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": OTHER_TOOL}, "tool_choice"),
        ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            "response_format.json_schema.schema",
        ),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
        ({"structured_outputs": {"regex": 1}}, "structured_outputs.regex"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"frequency_penalty": 2.5}, "frequency_penalty"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"top_k": -2}, "top_k"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"moderation": True}, "moderation"),
        ({"moderation": {"policy": {"input": {}}}}, "moderation.policy.input.mode"),
        ({"moderation": {"policy": {"output": {"mode": "off"}}}}, "moderation.policy.output.mode"),
    ],
)
async def test_a_wrong_field_is_named(house: House, change: dict[str, object], param: str):
    answer = await post(house, ask(**change))

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert house.inference.requests == []


async def test_fields_that_change_nothing_are_ignored(house: House):
    neutral = {
        "tools": [],
        "tool_choice": "none",
        "response_format": {"type": "text"},
        "n": 1,
        "logprobs": False,
        "user": "someone",
        "metadata": {"a": "b"},
        "invented": None,
    }
    assert (await post(house, ask(**neutral))).status_code == 200


async def test_a_top_p_of_nothing_is_greedy(house: House):
    await post(house, ask(top_p=0, temperature=1.5))
    options = house.inference.requests[0].options

    assert (options.temperature, options.top_p) == (0, 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_takes_its_generation_with_it(house: House, stream: bool):
    house.inference.endless = True
    body = json.dumps(ask(stream=stream)).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {house.issuer.token(tenant='leaver')}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    host, port = house.settings.http_address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    if stream:
        await reader.readuntil(b"Hello")
    await eventually(lambda: house.inference.in_flight == 1)

    writer.close()
    await writer.wait_closed()

    await eventually(lambda: house.inference.cancelled == 1)
    assert house.inference.in_flight == 0

    async def recorded() -> bool:
        usage = await last_usage(house.bus, "leaver")
        return usage is not None and usage.body.finish_reason == "cancelled"

    await eventually(recorded)


async def test_a_stream_of_a_client_that_reads_slowly_ends_like_any_other(house: House):
    house.inference.pieces = ["x" * 1000] * 500
    async with (
        house.http() as client,
        client.stream("POST", "/v1/chat/completions", json=ask(stream=True)) as answer,
    ):
        received = 0
        async for part in answer.aiter_bytes(4096):
            received += part.count(b"x" * 100)
            await asyncio.sleep(0)
    assert received > 0
    assert house.inference.in_flight == 0
