"""Snapshots of streams by the broker, restored into another broker."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.broker_config import owner_authorization
from modelmill_bus.bus import Bus
from modelmill_bus.link import open_looking
from modelmill_bus.stream_snapshots import (
    LEFT_OUT,
    SNAPSHOT_ORDER,
    StreamSnapshot,
    consumer_positions,
    restore_position,
    restore_stream,
    snapshot_stream,
)
from modelmill_bus.subjects import DEFAULT_BUILDS, MODEL_READY, STREAMS
from modelmill_service_kit.bus_access import OwnerPassword
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.shared_nats import shared_nats
from nats.js.errors import NotFoundError


@pytest_asyncio.fixture
async def other():
    """A bus of another broker, whose streams are gone."""
    async with (
        shared_nats() as server,
        Bus.connect(server.url, server.token, name="tester") as bus,
    ):
        for stream in STREAMS:
            await bus._link.js.delete_stream(stream.name)
        yield bus


async def models(bus: Bus, count: int) -> None:
    """Announce so many, and delete one."""
    for number in range(count):
        body = ModelReady(version_id=f"mv-{number}", name="x" * 900)
        await bus.publish(MODEL_READY, body, msg_id=f"mv-{number}")
    await bus._link.js.delete_msg("MODELS", 2)


async def snapshot_of(bus: Bus, stream: str = "MODELS") -> tuple[StreamSnapshot, list[bytes]]:
    chunks: list[bytes] = []
    snapshot = await snapshot_stream(bus._link, stream, chunks.append)
    assert snapshot is not None
    return snapshot, chunks


async def stored(bus: Bus) -> list[tuple[Any, ...]]:
    """Sequence, subject, body, time and headers of each message."""
    js, found = bus._link.js, []
    for sequence in range(1, (await js.stream_info("MODELS")).state.last_seq + 1):
        with suppress(NotFoundError):  # one that was deleted
            raw = await js.get_msg("MODELS", sequence)
            found.append((raw.seq, raw.subject, raw.data, str(raw.time), raw.headers))
    return found


def test_every_stream_but_progress_is_in_the_order_once():
    assert sorted((*SNAPSHOT_ORDER, *LEFT_OUT)) == sorted(stream.name for stream in STREAMS)


async def test_a_restored_stream_has_the_same_messages_places_times_and_headers(bus, other):
    await models(bus, 500)
    snapshot, chunks = await snapshot_of(bus)
    await restore_stream(other._link, snapshot, chunks)

    assert await stored(other) == await stored(bus)
    assert len(await stored(other)) == 499
    here = (await bus._link.js.stream_info("MODELS")).config
    assert (await other._link.js.stream_info("MODELS")).config.evolve(metadata={}) == here.evolve(
        metadata={}
    )


async def test_a_consumer_goes_on_after_what_it_had_acknowledged_before(bus, other):
    await models(bus, 10)
    deliveries = bus.deliveries(DEFAULT_BUILDS, [MODEL_READY], ack_wait_seconds=30)
    for _ in range(3):
        message = await deliveries.next(timeout=60)
        # The broker counts it in a moment after it got it, and says when it has.
        await message.ack_sync(timeout=60)
    [position] = [
        each
        for each in await consumer_positions(bus._link)
        if each.config["durable_name"] == DEFAULT_BUILDS
    ]
    snapshot, chunks = await snapshot_of(bus)
    await restore_stream(other._link, snapshot, chunks)
    await restore_position(other._link, position)

    # Of the same configuration: who owns it defines it again at its start.
    again = other.deliveries(DEFAULT_BUILDS, [MODEL_READY], ack_wait_seconds=30)
    message = await again.next(timeout=60)
    # The second was deleted, so that the third that was acknowledged is message 4.
    assert message.metadata.sequence.stream == 5


async def test_a_snapshot_that_is_short_or_altered_is_refused_and_leaves_no_stream(bus, other):
    await models(bus, 500)
    snapshot, chunks = await snapshot_of(bus)
    whole = b"".join(chunks)
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], bytes(altered)):
        with pytest.raises(InvalidInputError, match="stream MODELS cannot be restored"):
            await restore_stream(other._link, snapshot, [damaged])
        assert await snapshot_stream(other._link, "MODELS", lambda _chunk: None) is None


async def test_a_snapshot_is_sent_as_it_is_read_and_never_held_as_a_whole(bus, other):
    await models(bus, 500)
    snapshot, chunks = await snapshot_of(bus)
    whole, sent = b"".join(chunks), []

    def pieces():
        for at in range(0, len(whole), 1000):
            sent.append(other._link.client.stats["out_msgs"])
            yield whole[at : at + 1000]

    await restore_stream(other._link, snapshot, pieces())
    assert sent == list(range(sent[0], sent[0] + len(sent)))
    assert len(sent) > 2


async def test_a_stream_that_is_not_there_has_no_snapshot(other):
    assert await snapshot_stream(other._link, "MODELS", lambda _chunk: None) is None
    assert await consumer_positions(other._link) == []


@pytest.mark.own_broker
async def test_a_snapshot_of_the_default_account_is_restored_into_that_of_the_streams(
    bus, tmp_path: Path
):
    js = bus._link.js
    config = (await js.stream_info("MODELS")).config
    former = ["model.ready", "model.retired", "model.serving"]
    await js.update_stream(config.evolve(subjects=former))
    await models(bus, 5)
    snapshot, chunks = await snapshot_of(bus)
    password = OwnerPassword("of-this-broker")
    async with run_nats(tmp_path, owner_authorization(password)) as broker:
        async with open_looking(broker.url, password, name="cli") as link:
            await restore_stream(link, snapshot, chunks)
        async with Bus.connect(broker.url, password, name="tester") as other:
            subjects = (await other._link.js.stream_info("MODELS")).config.subjects
            there = await stored(other)

    assert subjects == ["model.*"]
    assert there == await stored(bus)
