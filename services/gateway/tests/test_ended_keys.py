"""A key that ends also ends its requests over HTTP and gRPC, and the keys it created."""

import asyncio
import time

import grpc
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.api_keys import EVERYTHING, issued, with_key
from gateway_support.budgets import budget, chat, set_tenant_limits
from gateway_support.ended_keys import WITHIN_SECONDS, last_event, revoked_while
from gateway_support.grpc_client import refused
from gateway_support.house import House
from gateway_support.job_orders import order, say_state
from gateway_support.usage import last_usage
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING
from modelmill_gateway.metrics import ACTIVE_STREAMS, TOKENS_IN_HAND
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL_SECONDS = 60
MESSAGES = [{"role": "user", "content": "hi"}]
STREAMS = {
    "/v1/chat/completions": chat(stream=True),
    "/v1/completions": {"model": "default", "prompt": "hi", "stream": True},
    "/v1/responses": {"model": "default", "input": "hi", "stream": True},
    "/v1/messages": {"model": "default", "max_tokens": 9, "messages": MESSAGES, "stream": True},
}


def tokens_in_hand() -> float:
    return float(TOKENS_IN_HAND.collect()[0].samples[0].value)


async def nothing_is_left(house: House) -> None:
    """Generation has stopped, and nothing of it is in hand."""
    await eventually(lambda: house.inference.in_flight == 0)
    assert house.inference.cancelled == 1
    await eventually(lambda: ACTIVE_STREAMS._value.get() == 0)
    await eventually(lambda: tokens_in_hand() == 0)


@pytest.mark.parametrize("path", STREAMS)
async def test_a_revoked_keys_stream_ends_within_a_second_with_an_error(house: House, path: str):
    house.inference.endless = True
    made = await issued(house.http(tenant="ends"))
    async with with_key(house, made["key"]) as client:
        asking = asyncio.create_task(client.post(path, json=STREAMS[path]))
        async with revoked_while(house, made, "ends"):
            answer = await asking

    last = last_event(answer.text)
    error = last.get("error", last)
    assert error["code"] == "key_ended"
    if path == "/v1/messages":
        assert (last["type"], error["type"]) == ("error", "authentication_error")
    assert "[DONE]" not in answer.text
    await nothing_is_left(house)
    await eventually(lambda: _used(house, "ends", made["id"]))


async def _used(house: House, tenant: str, key_id: str) -> bool:
    usage = await last_usage(house.bus, tenant)
    return usage is not None and usage.body.key_id == key_id


async def test_a_whole_answer_of_a_revoked_key_is_refused(house: House):
    house.inference.endless = True
    made = await issued(house.http(tenant="ends"))
    async with with_key(house, made["key"]) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=chat()))
        async with revoked_while(house, made, "ends"):
            answer = await asking

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_ended")
    await nothing_is_left(house)


@pytest.mark.parametrize("procedure", ["Chat", "StreamChat"])
async def test_it_also_ends_over_grpc(house: House, procedure: str):
    house.inference.endless = True
    made = await issued(house.http(tenant="ends"))
    asked = pb.ChatCall(model="default", messages=[ChatMessage(role="user", content="hi")])
    async with open_channel(house.grpc_address, made["key"]) as channel:
        stub = GatewayServiceStub(channel)

        async def ask() -> None:
            if procedure == "Chat":
                await stub.Chat(pb.ChatRequest(call=asked), timeout=CALL_SECONDS)
            async for _ in stub.StreamChat(pb.StreamChatRequest(call=asked), timeout=CALL_SECONDS):
                pass

        asking = asyncio.create_task(ask())
        async with (
            revoked_while(house, made, "ends"),
            refused(grpc.StatusCode.UNAUTHENTICATED, "not valid any more"),
        ):
            await asking

    await nothing_is_left(house)


async def test_a_caller_over_grpc_who_does_not_read_hears_it_when_it_does(house: House):
    house.inference.pieces = ["x" * 60_000] * 20
    house.inference.endless = True
    made = await issued(house.http(tenant="ends"))
    asked = pb.ChatCall(model="default", messages=[ChatMessage(role="user", content="hi")])
    async with open_channel(house.grpc_address, made["key"]) as channel:
        call = GatewayServiceStub(channel).StreamChat(
            pb.StreamChatRequest(call=asked), timeout=CALL_SECONDS
        )
        await call.read()
        async with revoked_while(house, made, "ends"):
            pass
        async with refused(grpc.StatusCode.UNAUTHENTICATED, "not valid any more"):
            while await call.read() is not grpc.aio.EOF:
                pass
    await eventually(lambda: house.inference.in_flight == 0)


async def test_who_watches_a_job_with_it_hears_no_more(house: House):
    made = await issued(house.http(tenant="watching"), scopes=EVERYTHING)
    async with with_key(house, made["key"]) as client:
        job_id = (await order(client)).json()["id"]
        await say_state(house, job_id, "watching", status=JOB_STATUS_RUNNING, attempt=1)
        path, accepts = f"/v1/jobs/{job_id}/events", {"accept": "text/event-stream"}
        async with (
            client.stream("GET", path, headers=accepts) as answer,
            open_channel(house.grpc_address, made["key"]) as channel,
        ):
            asked = pb.WatchJobRequest(job_id=job_id)
            watching = aiter(GatewayServiceStub(channel).WatchJob(asked, timeout=CALL_SECONDS))
            await anext(watching)
            assert (await house.http(tenant="watching").delete(f"/v1/keys/{made['id']}")).is_success
            text = (await answer.aread()).decode()
            async with refused(grpc.StatusCode.UNAUTHENTICATED, "not valid any more"):
                await anext(watching)

    assert last_event(text)["error"]["code"] == "key_ended"


async def test_a_key_that_expires_takes_its_streams_with_it(house: House):
    house.inference.endless = True
    owner = house.http(tenant="expires")
    by_itself, moved = await issued(owner, expires_in_seconds=2), await issued(owner)
    async with with_key(house, by_itself["key"]) as one, with_key(house, moved["key"]) as other:
        streams = [
            asyncio.create_task(client.post("/v1/chat/completions", json=chat(stream=True)))
            for client in (one, other)
        ]
        await eventually(lambda: house.inference.in_flight == 2)
        soon = int(time.time()) + 2
        await owner.patch(f"/v1/keys/{moved['id']}", json={"expires_at": soon})
        answers = await asyncio.gather(*streams)
        assert time.time() < max(by_itself["expires_at"], soon) + WITHIN_SECONDS

    assert [last_event(each.text)["error"]["code"] for each in answers] == ["key_ended"] * 2


async def test_what_runs_at_another_gateway_ends_too_and_what_others_asked_goes_on(house: House):
    house.inference.endless = True
    owner = house.http(tenant="elsewhere")
    made, stays = await issued(owner), await issued(owner)
    async with (
        another_gateway(house) as other,
        with_key(other.house, made["key"]) as client,
        with_key(other.house, stays["key"]) as staying,
        staying.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as going_on,
    ):
        lines = going_on.aiter_lines()
        first = await anext(lines)
        assert going_on.is_success, first
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=chat(stream=True)))
        await eventually(lambda: house.inference.in_flight == 2 or asking.done())
        assert not asking.done(), asking.result().text
        async with revoked_while(house, made, "elsewhere"):
            answer = await asking
        assert last_event(answer.text)["error"]["code"] == "key_ended"
        await eventually(lambda: house.inference.in_flight == 1)
        for _ in range(20):
            assert "error" not in await anext(lines)
        assert (await owner.post(f"/v1/keys/{stays['id']}/rotate")).is_success
        for _ in range(100):
            assert "error" not in await anext(lines)


async def test_what_it_reserved_is_given_back_and_what_it_used_is_settled(house: House):
    house.inference.endless = True
    await set_tenant_limits(house, "limited", parallel_requests=1)
    owner = house.http(tenant="limited")
    made = await issued(owner, limits={"tokens": 50_000})
    async with with_key(house, made["key"]) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=chat(stream=True)))
        async with revoked_while(house, made, "limited"):
            await asking
    house.inference.endless = False
    again = await issued(owner)
    async with with_key(house, again["key"]) as client:
        assert (await client.post("/v1/chat/completions", json=chat())).status_code == 200

    async def is_settled() -> bool:
        found = await budget(house, made["id"])
        return 0 < found.spent_tokens < 5_000 and found.leased.parallel == 0

    await eventually(is_settled)
