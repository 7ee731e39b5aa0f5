"""What a whole tenant may use: shown, set by an operator, and nobody else's business."""

import pytest
from gateway_support.budgets import chat
from gateway_support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_limits_that_an_operator_sets_hold_and_are_shown(house: House):
    async with house.http(tenant="shop") as client:
        before = (await client.get("/v1/budget")).json()
        limits = {"tokens": 400, "money": "2.50", "period": "day"}
        answer = await client.put("/v1/budget", json={"limits": limits})
        refused = await client.post("/v1/chat/completions", json=chat(max_tokens=500))
        after = (await client.get("/v1/budget")).json()

    assert not any(before["limits"].values())
    assert answer.json()["limits"]["money"] == "2.5"
    assert refused.status_code == 429
    assert after["limits"]["tokens"] == 400
    assert after["usage"]["tokens"] == 0
    assert after["usage"]["period_start"] % 86_400 == 0


async def test_limits_are_replaced_whole_and_taken_away_by_none(house: House):
    async with house.http(tenant="cafe") as client:
        await client.put("/v1/budget", json={"limits": {"tokens": 1}})
        answer = await client.put("/v1/budget", json={"limits": {}})
        free = await client.post("/v1/chat/completions", json=chat())

    assert not any(answer.json()["limits"].values())
    assert free.status_code == 200


async def test_whom_a_limit_holds_for_does_not_set_it(house: House):
    async with house.http(tenant="shop", scope="chat keys usage") as client:
        assert (await client.put("/v1/budget", json={"limits": {}})).status_code == 403
        assert (await client.get("/v1/budget")).status_code == 403


async def test_a_wrong_limit_is_refused_by_name(house: House):
    async with house.http() as client:
        for wrong in ({"tokens": 0}, {"money": "-1"}, {"period": "week"}, {"tockens": 5}):
            answer = await client.put("/v1/budget", json={"limits": wrong})
            assert answer.status_code in (400, 422), wrong
            assert next(iter(wrong)) in answer.text
