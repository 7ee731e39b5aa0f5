"""What a key has made ends with it."""

import asyncio
import time

import httpx
import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.budgets import chat
from gateway_support.ended_keys import last_event, revoked_while
from gateway_support.house import House
from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill_bus.subjects import key_state
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_a_key_made_ends_with_it(house: House):
    house.inference.endless = True
    owner = house.http(tenant="family")
    first = await issued(owner, scopes=["keys", "chat"])
    async with with_key(house, first["key"]) as client:
        second = await issued(client, scopes=["keys", "chat"])
    async with with_key(house, second["key"]) as client:
        third = await issued(client, scopes=["chat"])
    stranger = await issued(owner, scopes=["chat"])
    async with with_key(house, third["key"]) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=chat(stream=True)))
        async with revoked_while(house, first, "family"):
            answer = await asking
        assert last_event(answer.text)["error"]["code"] == "key_ended"
        refusal = await client.post("/v1/chat/completions", json=chat())
        assert refusal.json()["error"]["message"] == "the API key is not valid"

    shown = {each["id"]: each["status"] for each in (await owner.get("/v1/keys")).json()["data"]}
    assert [shown[each["id"]] for each in (first, second, third, stranger)] == [
        *("revoked", "revoked", "revoked", "active")
    ]
    # As records, too: nothing of theirs is kept.
    for each in (second, third):
        stored = await house.bus.last(key_state(each["id"]), KeyState)
        assert stored is not None
        assert stored.body.revoked


async def test_a_key_that_was_made_by_one_that_expired_counts_no_more(house: House):
    owner = house.http(tenant="heirs")
    maker = await issued(owner, scopes=["keys", "models:read"])
    async with with_key(house, maker["key"]) as client:
        made = await issued(client, scopes=["models:read"])

    async def expires_soon() -> int:
        """When; 0 if that was over before it arrived."""
        soon = int(time.time()) + 1
        change = await owner.patch(f"/v1/keys/{maker['id']}", json={"expires_at": soon})
        return soon if change.is_success else 0

    soon = await eventually(expires_soon)
    async with with_key(house, made["key"]) as client:
        await eventually(lambda: _is_refused(client))

    assert time.time() >= soon
    assert (await owner.get(f"/v1/keys/{made['id']}")).json()["status"] == "expired"


async def _is_refused(client: httpx.AsyncClient) -> bool:
    return (await client.get("/v1/models")).status_code == 401


async def test_a_key_that_revokes_itself_or_its_maker_hears_that_it_did(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    # As if each request took longer than a look.
    monkeypatch.setattr("modelmill_gateway.identity.credentials.LOOK_SECONDS", 0.0)
    owner = house.http(tenant="leaves")
    maker = await issued(owner, scopes=["keys", "chat"])
    async with with_key(house, maker["key"]) as client:
        made = await issued(client, scopes=["keys", "chat"])
        own = await issued(client, scopes=["keys"])
    for key, target in ((own, own), (made, maker)):
        async with with_key(house, key["key"]) as client:
            answer = await client.delete(f"/v1/keys/{target['id']}")
            assert (answer.status_code, answer.json()["deleted"]) == (200, True)
            assert await _is_refused(client)
