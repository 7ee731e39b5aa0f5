"""While the bus is away limited callers run on their lease, then hear a doubt; others go on."""

import pytest
from gateway_support.budgets import chat, limited_key
from gateway_support.house import House
from modelmill_testkit.waiting import eventually


@pytest.mark.own_broker
async def test_without_the_bus_a_lease_lasts_and_what_is_beyond_it_is_a_doubt(own_house: House):
    _, client = await limited_key(own_house, tokens=200_000)
    async with client, own_house.http() as free:
        assert (await client.post("/v1/chat/completions", json=chat())).status_code == 200
        own_house.nats.kill()

        on_the_lease = [await client.post("/v1/chat/completions", json=chat()) for _ in range(5)]
        beyond = await client.post("/v1/chat/completions", json=chat(max_tokens=100_000))
        impossible = await client.post("/v1/chat/completions", json=chat(max_tokens=300_000))
        others = await free.post("/v1/chat/completions", json=chat())

        assert [answer.status_code for answer in on_the_lease] == [200] * 5
        assert (beyond.status_code, beyond.json()["error"]["code"]) == (503, "quota_unknown")
        assert int(beyond.headers["retry-after"]) >= 1
        assert impossible.status_code == 429
        assert others.status_code == 200

        await own_house.nats.start()

        async def is_answered() -> bool:
            body = chat(max_tokens=100_000)
            return (await client.post("/v1/chat/completions", json=body)).status_code == 200

        await eventually(is_answered)
