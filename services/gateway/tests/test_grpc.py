"""The same use case over gRPC, with the token in the metadata."""

from typing import Any

import grpc
import pytest
from gateway.domain.deadline import MARGIN_SECONDS
from gateway_support.house import BLOCKED, BUILD, House
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.gateway.v1.gateway_service_pb2 import ChatRequest, ChatResponse
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from service_kit.errors import InvalidInputError
from testkit.waiting import eventually

CALL_SECONDS = 10

pytestmark = pytest.mark.asyncio(loop_scope="module")


def request(**changes: Any) -> ChatRequest:
    messages = [ChatMessage(role="user", content="hello")]
    return ChatRequest(**({"model": "default", "messages": messages} | changes))


async def chat(house: House, asked: ChatRequest, token: str | None) -> list[ChatResponse]:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    async with grpc.aio.insecure_channel(house.grpc_address) as channel:
        call = GatewayServiceStub(channel).Chat(asked, metadata=metadata, timeout=CALL_SECONDS)
        return [response async for response in call]


async def test_text_streams_and_the_last_message_says_how_it_ended(house: House):
    responses = await chat(house, request(max_tokens=5), house.issuer.token())

    assert [response.text_delta for response in responses] == ["Hello", ", ", "world", ""]
    last = responses[-1]
    assert (last.finish_reason, last.version_id) == ("stop", BUILD)
    assert last.usage.prompt_tokens == 7
    assert house.inference.requests[0].options.max_new_tokens == 5


async def test_the_guard_stands_in_this_door_too(house: House):
    house.inference.pieces = ["the ", *BLOCKED, " is"]
    responses = await chat(house, request(), house.issuer.token())

    assert "".join(response.text_delta for response in responses) == "the "
    assert responses[-1].finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("asked", "claims", "status"),
    [
        (request(), None, grpc.StatusCode.UNAUTHENTICATED),
        (request(), {"exp": 1}, grpc.StatusCode.UNAUTHENTICATED),
        (request(), {"scope": "files"}, grpc.StatusCode.PERMISSION_DENIED),
        (request(model="nobody"), {}, grpc.StatusCode.NOT_FOUND),
        (request(messages=[]), {}, grpc.StatusCode.INVALID_ARGUMENT),
        (request(temperature=9), {}, grpc.StatusCode.INVALID_ARGUMENT),
        (
            request(messages=[ChatMessage(role="user", content=BLOCKED)]),
            {},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
)
async def test_what_is_refused_over_http_is_refused_here(
    house: House, asked: ChatRequest, claims: dict[str, Any] | None, status: grpc.StatusCode
):
    token = None if claims is None else house.issuer.token(**claims)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await chat(house, asked, token)
    assert refused.value.code() is status


async def test_a_prompt_that_is_too_long_is_an_invalid_argument(house: House):
    house.inference.fail_before = InvalidInputError("the prompt has 900 tokens, the limit is 512")
    with pytest.raises(grpc.aio.AioRpcError, match="the limit is 512"):
        await chat(house, request(), house.issuer.token())


async def test_a_client_that_cancels_takes_its_generation_with_it(house: House):
    house.inference.endless = True
    metadata = (("authorization", f"Bearer {house.issuer.token()}"),)
    async with grpc.aio.insecure_channel(house.grpc_address) as channel:
        call = GatewayServiceStub(channel).Chat(request(), metadata=metadata, timeout=10)
        await anext(aiter(call))
        call.cancel()
    await eventually(lambda: house.inference.cancelled == 1)


async def test_every_hop_gets_less_time_than_the_caller_allows(house: House):
    await chat(house, request(), house.issuer.token())

    # gRPC rounds on the wire; at ten seconds by less than the margin.
    assert 0 < house.inference.deadlines[0] < CALL_SECONDS - MARGIN_SECONDS / 2


async def test_health_is_open(house: House):
    async with grpc.aio.insecure_channel(house.grpc_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
