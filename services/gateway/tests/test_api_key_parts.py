"""API keys while the bus is away, and the money of their limits."""

from gateway.entrypoints.key_body import LimitsBody
from gateway.entrypoints.key_views import limits_view
from gateway_support.api_keys import issued, with_key
from gateway_support.house import House
from hypothesis import given
from hypothesis import strategies as st


async def test_a_key_counts_on_while_the_bus_is_away_and_none_is_made_then(own_house: House):
    key = (await issued(own_house.http(), scopes=["models:read", "keys"]))["key"]
    own_house.nats.kill()
    async with with_key(own_house, key) as client:
        assert (await client.get("/v1/models")).status_code == 200
        refused = await client.post("/v1/keys", json={"name": "late", "scopes": ["keys"]})
    assert refused.status_code == 503


@given(micros=st.integers(1, 10**15 - 1))
def test_money_comes_back_as_it_was_said(micros: int):
    said = f"{micros // 10**6}.{micros % 10**6:06d}"
    limits = LimitsBody(money=said).limits()

    assert limits.micros == micros
    assert LimitsBody(money=limits_view(limits)["money"]).limits() == limits
