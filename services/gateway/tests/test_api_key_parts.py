"""API keys while the bus is away, in what a process tells, and the money of their limits."""

import signal

from gateway.entrypoints.bodies.key_body import LimitsBody
from gateway.entrypoints.views.key_views import limits_view
from gateway_support.api_keys import issued, with_key
from gateway_support.collector import collector
from gateway_support.house import House
from gateway_support.process import running
from hypothesis import given
from hypothesis import strategies as st
from testkit.waiting import eventually


async def test_a_key_counts_on_while_the_bus_is_away_and_none_is_made_then(own_house: House):
    key = (await issued(own_house.http(), scopes=["models:read", "keys"]))["key"]
    own_house.nats.kill()
    async with with_key(own_house, key) as client:
        assert (await client.get("/v1/models")).status_code == 200
        refused = await client.post("/v1/keys", json={"name": "late", "scopes": ["keys"]})
    assert refused.status_code == 503


async def test_no_span_and_no_line_of_a_process_has_anything_of_a_key(own_house: House):
    async with (
        collector() as (keeping, otlp_port),
        running(own_house, otlp_endpoint=f"http://127.0.0.1:{otlp_port}") as (service, client),
    ):
        token = {"authorization": f"Bearer {own_house.issuer.token()}"}
        wish = {"name": "traced", "scopes": ["chat", "models:read", "keys"]}
        made = (await client.post("/v1/keys", json=wish, headers=token)).json()
        new = (await client.post(f"/v1/keys/{made['id']}/rotate", headers=token)).json()["key"]
        chat = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}
        for key, status in ((new, 200), (made["key"], 401), (f"{new}x", 401)):
            for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
                answer = await client.post("/v1/chat/completions", json=chat, headers=headers)
                assert answer.status_code == status
                assert (await client.get("/v1/models", headers=headers)).status_code == status
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0, service.errors
        await eventually(lambda: len(keeping.spans) > 12)

        lines = service.errors
    for key in (made["key"], new):
        bare = key[10:]
        assert bare not in str(keeping.spans)
        assert bare not in lines


@given(micros=st.integers(1, 10**15 - 1))
def test_money_comes_back_as_it_was_said(micros: int):
    said = f"{micros // 10**6}.{micros % 10**6:06d}"
    limits = LimitsBody(money=said).limits()

    assert limits.micros == micros
    assert LimitsBody(money=limits_view(limits)["money"]).limits() == limits
