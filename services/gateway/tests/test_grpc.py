"""Answers over gRPC: the use case of the HTTP routes, with the token in the metadata."""

from typing import Any

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import BLOCKED, BUILD, MASKED, House, compiled
from gateway_support.peers import prompt_too_long
from modelmill.common.v1.chat_pb2 import ChatMessage, Tool
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_gateway.domain.request_context import MARGIN_SECONDS
from modelmill_service_kit.errors import OverloadedError, UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode


def said(content: str) -> ChatMessage:
    return ChatMessage(role="user", content=content)


def asking(**changes: Any) -> pb.ChatCall:
    return pb.ChatCall(**({"model": "default", "messages": [said("hello")]} | changes))


async def whole(house: House, asked: pb.ChatCall) -> pb.ChatResponse:
    async with grpc_stub(house) as stub:
        return await stub.Chat(pb.ChatRequest(call=asked), timeout=CALL_SECONDS)


async def streamed(house: House, asked: pb.ChatCall) -> list[pb.StreamChatResponse]:
    async with grpc_stub(house) as stub:
        call = stub.StreamChat(pb.StreamChatRequest(call=asked), timeout=CALL_SECONDS)
        return [response async for response in call]


async def test_text_streams_and_the_last_message_says_how_it_ended(house: House):
    responses = await streamed(house, asking())

    assert [response.text_delta for response in responses] == ["Hello", ", ", "world", ""]
    assert [response.HasField("end") for response in responses] == [False, False, False, True]
    end = responses[-1].end
    assert (end.finish_reason, end.version_id) == ("stop", BUILD)
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (7, 3)
    assert end.policy_digest == compiled()[0].digest


async def test_a_whole_answer_is_the_same_in_one_message(house: House):
    answer = await whole(house, asking())

    assert answer.text == "Hello, world"
    assert answer.end == (await streamed(house, asking()))[-1].end


async def test_how_to_sample_reaches_the_engine(house: House):
    await whole(
        house, asking(max_tokens=5, temperature=0.5, top_p=0.9, stop=["\n"], seed=2**64 - 1)
    )
    await whole(house, asking(temperature=1e-6))

    chosen, greedy = (request.options for request in house.inference.requests)
    assert (chosen.max_new_tokens, chosen.temperature, chosen.top_p) == (5, 0.5, 0.9)
    assert (list(chosen.stop), chosen.seed) == (["\n"], 2**64 - 1)
    assert (greedy.temperature, greedy.top_p, greedy.HasField("seed")) == (0, 1, False)


async def test_what_the_policy_blocks_in_an_answer_never_leaves(house: House):
    house.inference.pieces = ["the ", *BLOCKED, " is"]
    pieces = await streamed(house, asking())
    answer = await whole(house, asking())

    assert "".join(piece.text_delta for piece in pieces) == answer.text == "the "
    for end in (pieces[-1].end, answer.end):
        assert end.finish_reason == "content_filter"
        assert not end.HasField("usage")


async def test_what_the_policy_blocks_in_a_question_never_arrives(house: House):
    asked = asking(messages=[said(f"about {BLOCKED}")])
    for ask in (whole, streamed):
        async with refused(Status.INVALID_ARGUMENT, r"content policy: no-eating \(illicit\)$"):
            await ask(house, asked)
    assert house.inference.requests == []


async def test_what_the_policy_masks_in_a_question_arrives_masked(house: House):
    await whole(house, asking(messages=[said(f"my {MASKED} is")]))

    (turn,) = house.inference.requests[0].conversation.messages
    assert MASKED not in turn.content
    assert turn.content.startswith("my ")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model": ""}, "model: "),
        ({"model": "m" * 257}, "model: "),
        ({"messages": []}, "messages: "),
        ({"messages": [ChatMessage(role="robot")]}, "messages.0.role: "),
        ({"answers": 17}, "answers: "),
        ({"presence_penalty": float("nan")}, "presence_penalty: "),
        ({"logprobs": 21}, "logprobs: "),
        ({"logprobs": 0, "tools": [Tool(name="a")]}, "logprobs: "),
        ({"temperature": 2.1}, "temperature: "),
        ({"temperature": float("nan")}, "temperature: "),
        ({"top_p": -0.1}, "top_p: "),
        ({"max_tokens": 2**31}, "max_tokens: "),
        ({"stop": ["x"] * 5}, "stop: "),
        ({"stop": [""]}, "stop: "),
    ],
)
async def test_a_wrong_call_is_refused_by_the_field_at_fault(
    house: House, changes: dict[str, Any], field: str
):
    async with refused(Status.INVALID_ARGUMENT, field):
        await streamed(house, asking(**changes))


async def test_everything_that_is_wrong_is_said_at_once(house: House):
    async with refused(Status.INVALID_ARGUMENT, "model: .*; messages: .*; top_p: "):
        await whole(house, pb.ChatCall(top_p=2))


async def test_an_unknown_model_is_not_found(house: House):
    async with refused(Status.NOT_FOUND, "'nobody' does not exist"):
        await whole(house, asking(model="nobody"))


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (prompt_too_long(), Status.INVALID_ARGUMENT),
        (OverloadedError("all slots are taken"), Status.UNAVAILABLE),
        (UnavailableError("no engine is up"), Status.UNAVAILABLE),
    ],
)
async def test_what_the_engine_refuses_keeps_its_status_and_words(
    house: House, failure: Any, status: grpc.StatusCode
):
    house.inference.fail_before = failure
    for ask in (whole, streamed):
        async with refused(status, failure.message):
            await ask(house, asking())


async def test_an_answer_that_breaks_off_is_an_error_and_no_end(house: House):
    house.inference.fail_after = UnavailableError("the engine died")
    texts = []
    async with refused(Status.UNAVAILABLE), grpc_stub(house) as stub:
        request = pb.StreamChatRequest(call=asking())
        async for response in stub.StreamChat(request, timeout=CALL_SECONDS):
            texts.append(response.text_delta)
    assert texts == ["Hello", ", ", "world"]


@pytest.mark.parametrize("procedure", ["Chat", "StreamChat"])
async def test_a_client_that_cancels_takes_its_generation_with_it(house: House, procedure: str):
    house.inference.endless = True
    request = {"Chat": pb.ChatRequest, "StreamChat": pb.StreamChatRequest}[procedure]
    async with grpc_stub(house) as stub:
        call = getattr(stub, procedure)(request(call=asking()), timeout=CALL_SECONDS)
        if procedure == "StreamChat":
            await anext(aiter(call))
        await eventually(lambda: house.inference.in_flight == 1)
        call.cancel()
        await eventually(lambda: house.inference.cancelled == 1)


async def test_every_hop_gets_less_time_than_the_caller_allows(house: House):
    await whole(house, asking())

    # gRPC rounds on the wire; at ten seconds by less than the margin.
    assert 0 < house.inference.deadlines[0] < CALL_SECONDS - MARGIN_SECONDS / 2
