"""Several answers to one request: each with its own text, its own guard and its own end."""

import json

import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import BLOCKED, MASKED, House
from gateway_support.usage import last_usage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]
PENALTIES = {"presence_penalty": 0.5, "frequency_penalty": -0.25}


async def test_each_answer_is_a_choice_and_the_prompt_costs_once(house: House):
    house.inference.answers = {1: ["other"]}
    answer = await house.openai(tenant="several").chat.completions.create(
        model="default", messages=QUESTION, n=3
    )

    texts = [(choice.index, choice.message.content) for choice in answer.choices]
    assert texts == [(0, "Hello, world"), (1, "other"), (2, "Hello, world")]
    assert house.inference.requests[0].answers == 3
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 7)

    async def recorded() -> object:
        return await last_usage(house.bus, "several")

    usage = (await eventually(recorded)).body
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 7)


async def test_streamed_answers_come_side_by_side_each_to_its_own_end(house: House):
    house.inference.answers = {1: ["other"]}
    stream = await house.openai().chat.completions.create(
        model="default",
        messages=QUESTION,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    choices = [chunk.choices[0] for chunk in chunks[:-1]]

    texts = ["".join(c.delta.content or "" for c in choices if c.index == n) for n in (0, 1)]
    assert texts == ["Hello, world", "other"]
    for number in (0, 1):
        own = [choice for choice in choices if choice.index == number]
        assert own[0].delta.role == "assistant"
        assert [choice.finish_reason for choice in own][-1] == "stop"
    assert [choice.index for choice in choices if choice.finish_reason] == [0, 1]
    assert chunks[-1].usage.total_tokens == 7 + 4


@pytest.mark.parametrize("stream", [False, True])
async def test_every_prompt_of_completions_has_so_many_answers(house: House, stream: bool):
    house.inference.answers = {1: ["other"]}
    body = {"model": "default", "prompt": ["a", "b"], "n": 2, "stream": stream}
    async with house.http() as client:
        raw = await client.post("/v1/completions", json=body)
    if stream:
        events = raw.text.strip().split("\n\n")[:-1]
        parts = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
    else:
        parts = raw.json()["choices"]

    texts = ["".join(p["text"] for p in parts if p["index"] == n) for n in range(4)]
    assert texts == ["Hello, world", "other"] * 2
    assert [part["index"] for part in parts if part["finish_reason"]] == [0, 1, 2, 3]


@pytest.mark.parametrize("stream", [False, True])
async def test_one_answer_is_blocked_and_the_others_go_on(house: House, stream: bool):
    house.inference.answers = {1: ["the ", *BLOCKED, " is"], 2: ["my ", *MASKED, " is"]}
    async with house.http() as client:
        body = {"model": "default", "messages": QUESTION, "n": 3, "stream": stream}
        raw = await client.post("/v1/chat/completions", json=body)
    if stream:
        events = raw.text.strip().split("\n\n")[:-1]
        parts = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
        deltas = [(part, part["delta"]) for part in parts]
    else:
        deltas = [(choice, choice["message"]) for choice in raw.json()["choices"]]

    texts = [
        "".join(said.get("content", "") for part, said in deltas if part["index"] == n)
        for n in range(3)
    ]
    assert texts == ["Hello, world", "the ", "my ***** is"]
    ends = {part["index"]: part["finish_reason"] for part, _ in deltas if part["finish_reason"]}
    assert ends == {0: "stop", 1: "content_filter", 2: "stop"}
    assert "frui" not in raw.text


async def test_a_phrase_that_is_blocked_is_not_made_of_several_answers(house: House):
    start, rest = BLOCKED.split(" ")
    house.inference.answers = {0: [start], 1: [f" {rest}"]}
    answer = await house.openai().chat.completions.create(model="default", messages=QUESTION, n=2)

    assert [choice.message.content for choice in answer.choices] == [start, f" {rest}"]


async def test_the_engine_stops_when_every_answer_is_blocked(house: House):
    house.inference.pieces = [f"the {BLOCKED} "]
    house.inference.endless = True
    answer = await house.openai().chat.completions.create(model="default", messages=QUESTION, n=2)

    assert {choice.finish_reason for choice in answer.choices} == {"content_filter"}
    assert answer.usage is None
    await eventually(lambda: house.inference.cancelled == 1)


async def test_penalties_and_top_k_reach_the_engine_over_both_routes(house: House):
    more = {"top_k": 40, "repetition_penalty": 1.25}
    client = house.openai()
    await client.chat.completions.create(
        model="default", messages=QUESTION, extra_body=more, **PENALTIES
    )
    await client.completions.create(model="default", prompt="a", extra_body=more, **PENALTIES)
    await client.chat.completions.create(
        model="default", messages=QUESTION, extra_body={"top_k": -1}
    )

    for request in house.inference.requests[:2]:
        options = request.options
        assert (options.presence_penalty, options.frequency_penalty) == (0.5, -0.25)
        assert (options.top_k, options.repetition_penalty) == (40, 1.25)
    neutral = house.inference.requests[2].options
    assert (neutral.top_k, neutral.repetition_penalty) == (0, 1)


async def test_grpc_gives_the_same_answers_whole_and_streamed(house: House):
    house.inference.answers = {1: ["the ", *BLOCKED]}
    call = pb.ChatCall(
        model="default",
        messages=[{"role": "user", "content": "hello"}],
        answers=2,
        top_k=3,
        logprobs=1,
        **PENALTIES,
    )
    async with grpc_stub(house) as stub:
        whole = await stub.Chat(pb.ChatRequest(call=call), timeout=CALL_SECONDS)
        request = pb.StreamChatRequest(call=call)
        pieces = [piece async for piece in stub.StreamChat(request, timeout=CALL_SECONDS)]

    said = [(answer.text, answer.end.finish_reason) for answer in whole.answers]
    assert said == [("Hello, world", "stop"), ("the ", "content_filter")]
    assert (whole.text, whole.end) == (whole.answers[0].text, whole.answers[0].end)
    for number, answer in enumerate(whole.answers):
        own = [piece for piece in pieces if piece.index == number]
        assert "".join(piece.text_delta for piece in own) == answer.text
        assert [p.end.finish_reason for p in own if p.HasField("end")] == [said[number][1]]
        tokens = [token.token for piece in own for token in piece.logprobs]
        assert tokens == [token.token for token in answer.logprobs]
        assert b"".join(tokens).decode() == answer.text
    options = house.inference.requests[0].options
    assert (options.top_k, options.presence_penalty, options.logprobs) == (3, 0.5, 1)
