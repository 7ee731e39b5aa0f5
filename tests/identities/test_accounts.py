"""Accounts of the bus on a real broker: what passes between them, once and as it was."""

import os

import pytest
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus.accounts import imports_of
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.filters import covers
from modelmill_bus.link import open_looking
from modelmill_bus.permissions import API, BACKUP, DEPLOY, identities
from modelmill_bus.stream_snapshots import snapshot_stream
from modelmill_bus.subjects import JOBS_TOLD, job_state, policy_state
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.waiting import eventually

from tests.identities.declared import cases
from tests.identities.matrix import Prober

SNAPSHOT_BYTES = 20 << 20
"""More than the broker sends before it waits for acknowledgements."""


@pytest.mark.parametrize("name", [each for each in identities() if each != DEPLOY])
def test_what_an_identity_may_publish_reaches_the_streams_once(name: str):
    imported = [each.subject for each in imports_of(name) if each.kind == "service"]
    for case in cases():
        if case.verb == "publish" and name in case.allowed:
            reached = [each for each in imported if covers(each, case.subject)]
            assert len(reached) == 1, (case.subject, reached)


async def test_one_request_for_a_delivery_is_given_one(people: Identities, broker: NatsServer):
    gateway, taker = Prober("gateway"), f"{API}.CONSUMER.MSG.NEXT.JOBS.{JOBS_TOLD.name}"
    async with (
        Bus.connect(broker.url, people.seed("trainer"), name="trainer") as trainer,
        Bus.connect(broker.url, people.seed("gateway"), name="gateway") as bus,
    ):
        told = bus.deliveries(JOBS_TOLD.name, [JOBS_TOLD.filter], ack_wait_seconds=30)
        assert await told.next(timeout=0.1) is None  # the consumer is there now
        for number in range(3):
            await trainer.publish(job_state(f"ftjob-{number}"), JobState(job_id="x"))
        await gateway.connect(broker.url, people.seed("gateway").file)
        inbox = gateway.client.new_inbox()
        answers = await gateway.client.subscribe(inbox)
        await gateway.client.publish(taker, b"1", reply=inbox)
        given = await answers.next_msg(timeout=60)
        await given.ack_sync()
        left = await told.next(timeout=60)
        await gateway.client.close()

    assert left is not None
    places = [each.metadata.sequence.stream for each in (given, left)]
    assert (places, left.metadata.num_pending) == ([1, 2], 1)


async def test_a_durable_consumer_that_was_deleted_is_made_anew(
    people: Identities, broker: NatsServer
):
    deploy = Prober(DEPLOY)
    async with (
        Bus.connect(broker.url, people.seed("trainer"), name="trainer") as trainer,
        Bus.connect(broker.url, people.seed("gateway"), name="gateway") as bus,
    ):
        told = bus.deliveries(JOBS_TOLD.name, [JOBS_TOLD.filter], ack_wait_seconds=30)
        assert await told.next(timeout=0.1) is None  # the consumer is there now
        await deploy.connect(broker.url, people.seed(DEPLOY).file)
        await deploy.client.jetstream().delete_consumer("JOBS", JOBS_TOLD.name)
        await deploy.client.close()
        await trainer.publish(job_state("ftjob-1"), JobState(job_id="ftjob-1"))
        assert await eventually(lambda: told.next(timeout=1))


async def test_whoever_backs_up_gets_whole_snapshots_across_accounts(
    people: Identities, broker: NatsServer
):
    moderation, received = Prober("moderation"), 0
    await moderation.connect(broker.url, people.seed("moderation").file)
    for number in range(SNAPSHOT_BYTES // 900_000):
        js = moderation.client.jetstream()
        await js.publish(policy_state(f"tenant-{number}"), os.urandom(900_000))
    await moderation.client.close()

    def count(chunk: bytes) -> None:
        nonlocal received
        received += len(chunk)

    async with open_looking(broker.url, people.seed(BACKUP), name=BACKUP) as link:
        snapshot = await snapshot_stream(link, "POLICIES", count)

    assert snapshot is not None
    assert snapshot.last_sequence == SNAPSHOT_BYTES // 900_000
    assert received > SNAPSHOT_BYTES - 900_000
