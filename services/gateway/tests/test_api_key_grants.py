"""Who may make, change and rotate which API key."""

import time
from typing import Any

import pytest
from gateway_support.api_keys import EVERYTHING, issued, with_key
from gateway_support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_nobody_grants_a_scope_that_it_has_not(house: House):
    async with house.http(scope="keys chat") as client:
        assert (await client.post("/v1/keys", json={"name": "x"})).status_code == 403
        refused = await client.post("/v1/keys", json={"name": "x", "scopes": ["chat", "jobs"]})
        assert "jobs" in refused.json()["error"]["message"]
        made = await issued(client, scopes=["chat"])
    stronger = await issued(house.http(), scopes=["jobs", "keys"])
    async with house.http(scope="keys chat") as client:
        for attempt in (
            client.post(f"/v1/keys/{stronger['id']}/rotate"),
            client.patch(f"/v1/keys/{stronger['id']}", json={"expires_in_seconds": 9}),
        ):
            assert (await attempt).status_code == 403
        assert (await client.post(f"/v1/keys/{made['id']}/rotate")).status_code == 200
        assert (await client.delete(f"/v1/keys/{stronger['id']}")).status_code == 200


async def test_a_bounded_key_makes_only_keys_within_its_bounds(house: House):
    soon = int(time.time()) + 600
    parent = await issued(
        house.http(),
        scopes=["keys", "chat", "models:read"],
        models=["default", "tiny"],
        expires_at=soon,
        limits={"requests_per_minute": 60, "money": "2.50", "period": "month"},
    )
    limits = {"requests_per_minute": 6, "money": "1", "period": "month"}
    free = await issued(house.http(), scopes=["chat"])
    unlimited = await issued(house.http(), scopes=["chat"], models=["tiny"], expires_in_seconds=60)
    async with with_key(house, parent["key"]) as client:
        child = await issued(client, limits=limits)
        for requested in (
            {"models": ["other"]},
            {"models": ["default", "other"]},
            {"models": []},
            {"models": None},
            {"expires_at": soon + 1},
            {"expires_at": None},
            {"limits": {}},
            {"limits": limits | {"requests_per_minute": 61}},
            {"limits": limits | {"money": "2.500001"}},
            {"limits": limits | {"period": "day"}},
        ):
            body = {"name": "x", "limits": limits} | requested
            assert (await client.post("/v1/keys", json=body)).status_code == 403, requested
            changed = await client.patch(f"/v1/keys/{child['id']}", json=requested)
            assert changed.status_code == 403, requested
        for own in ({"limits": limits}, {"models": ["tiny"]}, {"expires_in_seconds": 5}):
            path = f"/v1/keys/{parent['id']}"
            assert (await client.patch(path, json=own)).status_code == 403
        for more in (free, unlimited):
            assert (await client.post(f"/v1/keys/{more['id']}/rotate")).status_code == 403
        assert (await client.post(f"/v1/keys/{child['id']}/rotate")).status_code == 200

    assert (child["models"], child["expires_at"]) == (["default", "tiny"], soon)
    assert child["limits"]["money"] == "1"


async def test_a_change_leaves_what_it_does_not_name(house: House):
    async with house.http(tenant="changing") as client:
        made = await issued(
            client, models=["default"], expires_in_seconds=600, limits={"tokens": 5}
        )
        path = f"/v1/keys/{made.pop('id')}"
        renamed = (await client.patch(path, json={"name": "new name"})).json()
        assert {**renamed, "name": made["name"]} == {
            **{k: v for k, v in made.items() if k != "key"},
            "id": renamed["id"],
        }
        freed = await client.patch(path, json={"models": [], "expires_at": None, "limits": None})
        assert (freed.json()["models"], freed.json()["expires_at"]) == ([], None)
        assert not any(freed.json()["limits"].values())
        shown = (await client.get(path)).json()
        assert shown.pop("usage")["tokens"] == 0
        assert shown == freed.json()
        await client.delete(path)
        for attempt in (client.patch(path, json={"name": "x"}), client.post(f"{path}/rotate")):
            assert (await attempt).status_code == 409
        assert (await client.delete(path)).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x", "scopes": []}, "at least 1"),
        ({"name": "x", "scopes": ["root"]}, "no such scope"),
        ({"name": "x", "expires_at": 1}, "in the future"),
        ({"name": "x", "expires_at": 1, "expires_in_seconds": 1}, "one of"),
        ({"name": "x", "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"name": "x", "limits": {"money": 5}}, "money"),
        ({"name": "x", "limits": {"money": "0.0000001"}}, "money: must be a number below"),
        ({"name": "x", "limits": {"money": "-5"}}, "money: must be a number below"),
        ({"name": "x", "limits": {"money": "0.00"}}, "more than 0"),
        ({"name": "x", "limits": {"period": "day"}}, "period"),
        ({"name": "x", "limits": {"tokens": -1}}, "tokens"),
        ({"name": "x", "key": "mm-mine"}, "unknown field"),
    ],
)
async def test_a_wrong_desired_state_is_refused_with_the_reason(house: House, body: Any, said: str):
    async with house.http(tenant="wrong") as client:
        answer = await client.post("/v1/keys", json=body)
        listed = await client.get("/v1/keys")

    assert answer.status_code in (400, 422)
    assert said in answer.json()["error"]["message"]
    assert listed.json()["data"] == []


async def test_another_tenant_can_neither_see_nor_change_a_key(house: House):
    owner, stranger = house.http(tenant="owner"), house.http(tenant="stranger")
    made = await issued(owner, scopes=EVERYTHING)
    path = f"/v1/keys/{made['id']}"
    for attempt in (
        stranger.get(path),
        stranger.patch(path, json={"name": "mine"}),
        stranger.post(f"{path}/rotate"),
        stranger.delete(path),
    ):
        assert (await attempt).status_code == 404
    assert (await stranger.get("/v1/keys")).json()["data"] == []
    async with with_key(house, made["key"]) as client:
        assert (await client.get("/v1/models")).status_code == 200
