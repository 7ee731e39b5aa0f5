"""What a service that was taken over makes the broker say for it, on a real broker.

The broker publishes its answers, and what a consumer delivers, with rights of its own: to whatever
reply subject or deliver subject a request names. Answers stay in the account of who asked, and in
the account of the streams nobody subscribes to one subject, which is what a delivery needs.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.deploy import make_streams
from modelmill_bus.permissions import API, DEPLOY, identities, streams_of
from modelmill_bus.subjects import (
    JOBS_TOLD,
    MODEL_READY,
    STREAMS,
    job_state,
    key_state,
    policy_state,
)
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.waiting import eventually
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

from tests.identities.declared import Case, cases, concrete
from tests.identities.matrix import Prober

OWN, KEY = policy_state("acme"), key_state("stolen")
Way = Callable[[Client, str], Awaitable[None]]
"""Asks for something that the client may have, to be sent to a subject of its choice."""
SETTLED_SECONDS = 2.0
"""How long a message that the broker was made to send may be on its way."""


@dataclass
class Stage:
    """A broker with one message in each stream, and connections by identity."""

    broker: NatsServer
    people: Identities
    clients: Mapping[str, Client]

    async def sizes(self) -> dict[str, int]:
        """How many messages each stream holds, as who deploys sees it."""
        js = self.clients[DEPLOY].jetstream()
        return {each.name: (await js.stream_info(each.name)).state.messages for each in STREAMS}

    async def changes(self, before: Mapping[str, int]) -> dict[str, int]:
        """The sizes of streams that are others than `before`, within a moment."""

        async def changed() -> dict[str, int]:
            return {name: n for name, n in (await self.sizes()).items() if n != before[name]}

        try:
            return await eventually(changed, within=SETTLED_SECONDS)
        except AssertionError:
            return {}


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    people = Identities(tmp_path / "identities")
    people.ensure()
    async with (
        run_nats(tmp_path / "nats", people.authorization()) as broker,
        AsyncExitStack() as ends,
    ):
        await make_streams(broker.url, people.seed(DEPLOY))
        clients = {}
        for name in identities():
            prober = Prober(name)
            await prober.connect(broker.url, people.seed(name).file)
            ends.push_async_callback(prober.client.close)
            clients[name] = prober.client
        for row in (stream.rows[0] for stream in STREAMS):
            (subject, kind), *_ = reversed(concrete(row))
            writer = "gateway" if kind else row.publishers[0]
            await clients[writer].jetstream().publish(subject, b"{}")
        yield Stage(broker, people, clients)


async def consumer(client: Client, stream: str, filter_subject: str, **settings: object) -> str:
    """Make one without acknowledgements; the answer of the broker, an error where it refuses."""
    name = f"taken-{len(settings)}-{client.stats['out_msgs']}"
    config = {"name": name, "ack_policy": "none", "filter_subject": filter_subject, **settings}
    body = json.dumps({"stream_name": stream, "config": config}).encode()
    subject = f"{API}.CONSUMER.CREATE.{stream}.{name}.{filter_subject}"
    answer = json.loads((await client.request(subject, body, timeout=10)).data)
    if "error" in answer:
        raise APIError.from_error(answer["error"])
    return name


async def look_up(client: Client, reply: str) -> None:
    asked = json.dumps({"last_by_subj": OWN}).encode()
    await client.publish(f"{API}.STREAM.MSG.GET.POLICIES", asked, reply=reply)


async def inform(client: Client, reply: str) -> None:
    await client.publish(f"{API}.STREAM.INFO.POLICIES", b"", reply=reply)


async def pull(client: Client, reply: str) -> None:
    await client.jetstream().publish(OWN, b"{}")
    name = await consumer(client, "POLICIES", OWN)
    await client.publish(f"{API}.CONSUMER.MSG.NEXT.POLICIES.{name}", b"1", reply=reply)


async def push(client: Client, reply: str) -> None:
    await client.jetstream().publish(OWN, b"{}")
    await consumer(client, "POLICIES", OWN, deliver_subject=reply)


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
        assert await told.next(timeout=3) is not None


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


def not_of(name: str) -> list[str]:
    """Subjects of messages that somebody else writes."""
    tries: list[Case] = [each for each in cases() if each.verb == "publish"]
    return [each.subject for each in tries if each.subject[0] != "$" and name not in each.allowed]


async def test_no_identity_has_an_answer_stored_on_any_subject_of_somebody_else(stage: Stage):
    before, tried = await stage.sizes(), 0
    for name, client in stage.clients.items():
        for stream in streams_of(name)[:1]:
            for reply in not_of(name):
                await client.publish(f"{API}.STREAM.INFO.{stream}", b"", reply=reply)
                tried += 1
        await client.flush(timeout=30)
    assert tried > 200
    assert await stage.changes(before) == {}


async def test_no_identity_has_its_messages_delivered_to_any_subject_of_somebody_else(
    stage: Stage,
):
    before, tried = await stage.sizes(), 0
    for name, client in stage.clients.items():
        own = [(each.name, row) for each in STREAMS for row in each.rows if name in row.readers]
        for stream, row in [each for each in own if each[0] != "WEBHOOKS"][:1]:
            for reply in not_of(name):
                with suppress(APIError):  # a consumer of the stream that it would deliver into
                    await consumer(client, stream, row.template, deliver_subject=reply)
                tried += 1
    assert tried > 200
    assert await stage.changes(before) == {}
