"""What a service that was taken over makes the broker say for it, on a real broker.

The broker publishes its answers, and what a consumer delivers, with rights of its own: to whatever
reply subject or deliver subject a request names. Answers stay in the account of who asked, and in
the account of the streams nobody subscribes to one subject, which is what a delivery needs.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus.bus import Bus
from modelmill_bus.permissions import API
from modelmill_bus.subjects import JOBS_TOLD, MODEL_READY, job_state, key_state, policy_state
from modelmill_testkit.waiting import eventually
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

from tests.identities.borrowed import (
    Stage,
    have_answers_sent,
    have_messages_delivered,
    make_consumer,
    set_stage,
)

OWN, KEY = policy_state("acme"), key_state("stolen")
Way = Callable[[Client, str], Awaitable[None]]
"""Asks for something that the client may have, to be sent to a subject of its choice."""


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with set_stage(tmp_path) as made:
        yield made


async def look_up(client: Client, reply: str) -> None:
    asked = json.dumps({"last_by_subj": OWN}).encode()
    await client.publish(f"{API}.STREAM.MSG.GET.POLICIES", asked, reply=reply)


async def inform(client: Client, reply: str) -> None:
    await client.publish(f"{API}.STREAM.INFO.POLICIES", b"", reply=reply)


async def pull(client: Client, reply: str) -> None:
    await client.jetstream().publish(OWN, b"{}")
    name = await make_consumer(client, "POLICIES", OWN)
    await client.publish(f"{API}.CONSUMER.MSG.NEXT.POLICIES.{name}", b"1", reply=reply)


async def push(client: Client, reply: str) -> None:
    await client.jetstream().publish(OWN, b"{}")
    await make_consumer(client, "POLICIES", OWN, deliver_subject=reply)


@pytest.mark.parametrize(
    ("way", "victim"),
    [(look_up, KEY), (inform, KEY), (pull, KEY), (pull, MODEL_READY), (push, MODEL_READY)],
)
async def test_no_answer_or_delivery_of_the_broker_is_stored_as_somebody_elses(
    stage: Stage, way: Way, victim: str
):
    before = await stage.sizes()
    await way(stage.clients["moderation"], victim)
    changed = await stage.changes({**before, "POLICIES": (await stage.sizes())["POLICIES"]})
    assert changed == {}


@pytest.mark.parametrize("way", [look_up, inform, pull])
async def test_no_answer_of_the_broker_is_taken_for_a_request_to_empty_a_stream(
    stage: Stage, way: Way
):
    before = await stage.sizes()
    await way(stage.clients["moderation"], f"{API}.STREAM.PURGE.KEYS")
    changed = await stage.changes({**before, "POLICIES": (await stage.sizes())["POLICIES"]})
    assert changed == {}


@pytest.mark.parametrize("way", [pull, push])
async def test_nobody_takes_a_delivery_from_somebody_elses_durable_consumer(stage: Stage, way: Way):
    async with (
        Bus.connect(stage.broker.url, stage.people.seed("gateway"), name="gateway") as gateway,
        Bus.connect(stage.broker.url, stage.people.seed("trainer"), name="trainer") as trainer,
    ):
        told = gateway.deliveries(JOBS_TOLD.name, [JOBS_TOLD.filter], ack_wait_seconds=30)
        assert await told.next(timeout=0.1) is None
        await trainer.publish(job_state("ftjob-1"), JobState(job_id="ftjob-1"))
        taking = f"{API}.CONSUMER.MSG.NEXT.JOBS.{JOBS_TOLD.name}"
        before = await stage.sizes()
        await way(stage.clients["moderation"], taking)
        assert await stage.changes({**before, "POLICIES": before["POLICIES"] + 1}) == {}
        assert await told.next(timeout=60) is not None


async def test_who_may_not_acknowledge_may_not_name_an_acknowledgement_as_the_reply(stage: Stage):
    before = await stage.sizes()
    for reply in (f"$JS.ACK.JOBS.{JOBS_TOLD.name}.1.1.1.0.0", "_R_.any", "_GR_.any.any"):
        await pull(stage.clients["moderation"], reply)
        await look_up(stage.clients["moderation"], reply)
    after = {**before, "POLICIES": before["POLICIES"] + 3}
    assert await stage.changes(after) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": KEY},
        {"Nats-Trace-Dest": KEY},
    ],
)
async def test_no_header_of_a_message_reaches_beyond_it(stage: Stage, headers: dict[str, str]):
    before = await stage.sizes()
    await stage.clients["moderation"].publish(OWN, b"{}", headers=headers)
    await stage.clients["moderation"].flush()
    changed = await stage.changes({**before, "POLICIES": (await stage.sizes())["POLICIES"]})
    assert set(changed) <= {"POLICIES"}
    assert changed.get("POLICIES", before["POLICIES"]) >= before["POLICIES"]


@pytest.mark.parametrize("way", [look_up, inform, pull, push])
async def test_an_outside_subscriber_hears_no_answer_or_delivery_of_the_broker(
    stage: Stage, way: Way
):
    heard: list[tuple[str, bytes]] = []

    async def hear(message: Msg) -> None:
        heard.append((message.subject, message.data))

    observer = stage.clients["observer"]
    await observer.subscribe(MODEL_READY, cb=hear)
    await observer.flush()
    before = await stage.sizes()
    await way(stage.clients["moderation"], MODEL_READY)
    changed = await stage.changes({**before, "POLICIES": (await stage.sizes())["POLICIES"]})
    await stage.clients["trainer"].jetstream().publish(MODEL_READY, b"{}")
    await eventually(lambda: heard)

    assert (changed, heard) == ({}, [(MODEL_READY, b"{}")])


async def test_a_consumer_cannot_deliver_into_its_own_stream(stage: Stage):
    with pytest.raises(APIError, match="cycle"):
        await push(stage.clients["moderation"], policy_state("others"))


async def test_no_identity_has_an_answer_stored_on_any_subject_of_somebody_else(stage: Stage):
    before = await stage.sizes()
    assert await have_answers_sent(stage) > 200
    assert await stage.changes(before) == {}


async def test_no_identity_has_its_messages_delivered_to_any_subject_of_somebody_else(
    stage: Stage,
):
    before = await stage.sizes()
    assert await have_messages_delivered(stage) > 200
    assert await stage.changes(before) == {}
