"""API keys while the bus is away, in what a process tells, and the money of their limits."""

import json
import signal
from typing import Any

import nats
import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.collector import collector
from gateway_support.house import House
from gateway_support.process import running
from hypothesis import given
from hypothesis import strategies as st
from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill_bus.subjects import key_state
from modelmill_gateway.entrypoints.schemas.keys import LAST_SECOND, KeyLimits, LimitsBody
from modelmill_testkit.waiting import eventually, once_available


@pytest.mark.own_broker
async def test_a_key_counts_on_while_the_bus_is_away_and_none_is_made_then(own_house: House):
    key = (await issued(own_house.http(), scopes=["models:read", "keys"]))["key"]
    own_house.nats.kill()
    async with with_key(own_house, key) as client:
        assert (await client.get("/v1/models")).status_code == 200
        refused = await client.post("/v1/keys", json={"name": "late", "scopes": ["keys"]})
    assert refused.status_code == 503


async def test_where_there_is_no_room_for_more_keys_one_is_told_so_and_may_still_revoke(
    own_house: House,
):
    owner = own_house.http(sub="a" * 200)
    made = await issued(own_house.http(sub="b"), scopes=["keys"])
    client = await nats.connect(own_house.nats.url, token=own_house.nats.token)
    js = client.jetstream()
    info: Any = await js.stream_info("KEYS")
    await js.update_stream(info.config.evolve(max_bytes=info.state.bytes))
    refused = await owner.post("/v1/keys", json={"name": "more", "scopes": ["keys"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stream_full")
    assert (await owner.delete(f"/v1/keys/{made['id']}")).is_success
    async with with_key(own_house, made["key"]) as late:
        assert (await late.get("/v1/keys")).status_code == 401

    shown = (await owner.get("/v1/keys")).json()["data"]
    assert [(each["id"], each["status"]) for each in shown] == [(made["id"], "revoked")]
    await client.close()


async def test_of_a_revoked_key_nothing_is_kept_but_that_it_was_and_that_not_for_ever(
    own_house: House,
):
    owner = own_house.http()
    made = await issued(owner, scopes=["chat"], models=["default"])
    await owner.delete(f"/v1/keys/{made['id']}")
    client = await nats.connect(own_house.nats.url, token=own_house.nats.token)
    stored = await client.jetstream().get_last_msg("KEYS", f"key.state.{made['id']}")
    await client.close()

    body = json.loads(stored.data or b"")
    assert body["revoked"] is True
    assert body.keys() & {"key_sha256", "models", "scopes"} == set()
    assert (stored.headers or {})["Nats-TTL"] == str(30 * 24 * 3600)


@pytest.mark.own_broker
async def test_a_key_may_end_in_the_last_second_of_the_year_9999(own_house: House):
    made = await issued(own_house.http(), scopes=["models:read"], expires_at=LAST_SECOND)
    async with with_key(own_house, made["key"]) as client:
        assert (await client.get("/v1/models")).status_code == 200
    own_house.nats.kill()
    await own_house.nats.start()
    stored = await once_available(lambda: own_house.bus.last(key_state(made["id"]), KeyState))
    assert stored is not None
    assert stored.body.key_id == made["id"]


async def test_no_span_and_no_line_of_a_process_has_anything_of_a_key(own_house: House):
    async with (
        collector() as (keeping, otlp_port),
        running(own_house, otlp_endpoint=f"http://127.0.0.1:{otlp_port}") as (service, client),
    ):
        token = {"authorization": f"Bearer {own_house.issuer.token()}"}
        requested = {"name": "traced", "scopes": ["chat", "models:read", "keys"]}
        made = (await client.post("/v1/keys", json=requested, headers=token)).json()
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
    assert LimitsBody(money=KeyLimits.of(limits).money).limits() == limits
