"""A name is moved once its version is warm, and by one mover at a time."""

import asyncio

import pytest
from gateway_support.house import ADAPTER, BUILD, TUNED, House
from modelmill_service_kit.errors import PreconditionError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_alias_is_loaded_moved_listed_and_asked_for(house: House):
    client = house.http(tenant="mover")
    moved = await client.put("/v1/aliases/best", json={"version_id": ADAPTER})

    assert moved.status_code == 200
    assert moved.json()["version_id"] == TUNED
    assert house.inference.loaded == [TUNED]
    listed = (await client.get("/v1/aliases")).json()["data"]
    assert {alias["name"]: alias["version_id"] for alias in listed} == {
        "best": TUNED,
        "default": BUILD,
    }
    answer = await client.post(
        "/v1/chat/completions",
        json={"model": "best", "messages": [{"role": "user", "content": "hi"}]},
    )
    assert answer.json()["system_fingerprint"] == TUNED
    assert answer.json()["model"] == "best"


async def test_a_version_that_cannot_be_loaded_moves_nothing(house: House):
    client = house.http(tenant="careful")
    house.inference.fail_load = PreconditionError("the artifact does not verify")
    refused = await client.put("/v1/aliases/best", json={"version_id": TUNED})
    unknown = await client.put("/v1/aliases/best", json={"version_id": "mv-nobody"})

    assert (refused.status_code, unknown.status_code) == (409, 404)
    assert "does not verify" in refused.json()["error"]["message"]
    assert (await client.get("/v1/models/best")).status_code == 404


async def test_who_decided_before_another_moved_loses(house: House):
    client = house.http(tenant="racers")
    house.inference.load_gates[BUILD] = asyncio.Event()
    slow = asyncio.create_task(client.put("/v1/aliases/best", json={"version_id": BUILD}))
    await eventually(lambda: house.inference.loading == [BUILD])
    quick = await client.put("/v1/aliases/best", json={"version_id": TUNED})
    house.inference.load_gates[BUILD].set()
    lost = await slow

    assert (quick.status_code, lost.status_code) == (200, 409)
    assert lost.json()["error"]["code"] == "stale_write"
    kept = (await client.get("/v1/models/best")).json()
    assert kept["version_id"] == TUNED


async def test_an_alias_can_be_moved_again(house: House):
    client = house.http(tenant="again")
    for version in (BUILD, TUNED, BUILD):
        moved = await client.put("/v1/aliases/best", json={"version_id": version})
        assert (moved.status_code, moved.json()["version_id"]) == (200, version)
