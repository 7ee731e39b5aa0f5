"""Two inferences behind one gateway, of which one dies, comes back, or was never there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.house import SECRET, House
from gateway_support.peers import FakeInference
from modelmill.inference.v1.inference_service_pb2_grpc import (
    add_InferenceServiceServicer_to_server,
)
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}


@asynccontextmanager
async def second_inference(address: str) -> AsyncIterator[FakeInference]:
    inference = FakeInference()
    server = RpcServer(address, SECRET, drain_seconds=0)
    add_InferenceServiceServicer_to_server(inference, server.grpc)
    async with server:
        yield inference


@asynccontextmanager
async def both(house: House, address: str) -> AsyncIterator[House]:
    addresses = f"{house.settings.inference_address}, {address}"
    async with another_gateway(house, inference_address=addresses) as other:
        yield other.house


async def answered(house: House, times: int) -> set[int]:
    client = house.http()
    statuses = [
        (await client.post("/v1/chat/completions", json=QUESTION)).status_code for _ in range(times)
    ]
    return set(statuses)


async def test_answers_are_shared_by_how_many_each_has_in_flight(house: House):
    address = f"127.0.0.1:{free_port()}"
    async with second_inference(address) as second, both(house, address) as gateway:
        for inference in (house.inference, second):
            inference.endless = True
        client = gateway.http()
        async with AsyncExitStack() as stack:
            for _ in range(6):
                body = QUESTION | {"stream": True}
                await stack.enter_async_context(
                    client.stream("POST", "/v1/chat/completions", json=body)
                )
            assert (house.inference.in_flight, second.in_flight) == (3, 3)
        await eventually(lambda: (house.inference.in_flight, second.in_flight) == (0, 0))


async def test_one_that_is_not_there_is_noticed_by_nobody(house: House):
    async with both(house, f"127.0.0.1:{free_port()}") as gateway:
        assert await answered(gateway, 30) == {200}
        assert len(house.inference.requests) == 30


async def test_one_that_dies_and_comes_back_is_asked_again(house: House):
    address = f"127.0.0.1:{free_port()}"
    async with both(house, address) as gateway:
        async with second_inference(address) as second:
            assert await answered(gateway, 10) == {200}
            assert len(second.requests) == 5
        assert await answered(gateway, 20) == {200}
        async with second_inference(address) as second:

            async def asked() -> bool:
                assert await answered(gateway, 2) == {200}
                return bool(second.requests)

            await eventually(asked)


async def test_one_that_stops_passes_its_requests_on(house: House):
    address = f"127.0.0.1:{free_port()}"
    async with second_inference(address) as second, both(house, address) as gateway:
        second.fail_before = UnavailableError("this replica is stopping. Retry")
        assert await answered(gateway, 8) == {200}


async def test_without_any_the_refusal_says_when_to_come_back(house: House):
    nobody = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    async with another_gateway(house, inference_address=nobody) as other:
        client = other.house.http()
        for _ in range(8):
            answer = await client.post("/v1/chat/completions", json=QUESTION)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
        embedded = await client.post("/v1/embeddings", json={"model": "default", "input": "x"})
        assert embedded.status_code == 503


async def test_a_version_is_loaded_everywhere_before_its_alias_moves(house: House):
    address = f"127.0.0.1:{free_port()}"
    async with second_inference(address) as second, both(house, address) as gateway:
        gate = asyncio.Event()
        second.load_gates["mv-build"] = gate
        client = gateway.http(tenant="everywhere")
        moving = asyncio.create_task(
            client.put("/v1/aliases/best", json={"version_id": "mv-build"})
        )
        await eventually(lambda: second.loading == ["mv-build"])
        assert (await client.get("/v1/models/best")).status_code == 404
        gate.set()
        assert (await moving).status_code == 200
        assert house.inference.loaded == second.loaded == ["mv-build"]
