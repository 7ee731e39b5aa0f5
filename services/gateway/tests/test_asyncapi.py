"""The document of the bus is open to all, and true of what goes over the bus beside it."""

import pytest
from gateway_support.house import BUILD, House
from modelmill_bus.asyncapi import asyncapi_document
from modelmill_bus.subjects import STREAMS
from modelmill_testkit.bus_document import BusDocument, stored_messages
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_anybody_may_read_it_and_it_names_every_subject(house: House):
    async with house.http() as client:
        client.headers.pop("authorization")
        answer = await client.get("/asyncapi.json")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == asyncapi_document()
    addresses = {channel["address"] for channel in answer.json()["channels"].values()}
    assert addresses == {row.address for stream in STREAMS for row in stream.rows}


async def test_what_the_gateway_publishes_is_as_its_document_says(house: House):
    async with house.http() as client:
        judge = BusDocument((await client.get("/asyncapi.json")).json())
        body = {"model": BUILD, "messages": [{"role": "user", "content": "hello"}]}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        moved = await client.put("/v1/aliases/best", json={"version_id": BUILD})
        assert moved.status_code == 200

    async def heard() -> set[str]:
        stored = stored_messages(house.nats.url, house.nats.token)
        by_gateway = [m async for m in stored if m.headers["ce-source"] == "modelmill/gateway"]
        channels = {judge.check(each) for each in by_gateway}
        return channels if {"usage.recorded", "alias.state"} <= channels else set()

    assert await eventually(heard)
