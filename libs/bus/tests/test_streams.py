"""Streams of an earlier release are brought to the table; one that is full loses nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
import pytest
from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import EvalState, KeyState
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StreamFullError
from modelmill_bus.link import open_link
from modelmill_bus.streams import ensure_streams
from modelmill_bus.subjects import POLICY_VERSIONS, eval_state, key_state, policy_state
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.waiting import eventually
from nats.js import api

SMALL = 20_000


async def test_a_subject_that_moved_to_another_stream_leaves_the_old_one(tmp_path: Path):
    async with run_nats(tmp_path) as broker:
        client = await nats.connect(broker.url, token=broker.token)
        js = client.jetstream()
        old = ["alias.state.*.*", "budget.state.*", "key.state.*", "policy.state.*"]
        await js.add_stream(api.StreamConfig(name="CONFIG", subjects=old, max_bytes=5_000_000))

        await ensure_streams(js)

        config = await js.stream_info("CONFIG")
        assert set(config.config.subjects or []) == {"alias.state.*.*", "webhook.state.*"}
        assert config.config.max_bytes == 5_000_000
        for name, subject in (
            *(("BUDGETS", "budget.state.*"), ("KEYS", "key.state.*")),
            *(("POLICIES", "policy.state.*"), ("EVALS", "eval.state.*")),
        ):
            assert (await js.stream_info(name)).config.subjects == [subject]
        await client.close()


async def limited(broker: NatsServer, stream: str) -> None:
    """Let the stream hold hardly anything."""
    client = await nats.connect(broker.url, token=broker.token)
    js = client.jetstream()
    info: Any = await js.stream_info(stream)
    await js.update_stream(info.config.evolve(max_bytes=SMALL))
    await client.close()


def key(number: int, **fields: Any) -> KeyState:
    scopes = ["chat", "models:read"]
    fields = {"key_sha256": "a" * 64, "scopes": scopes, "created_by": "ada"} | fields
    return KeyState(key_id=f"key-{number}", tenant="acme", **fields)


async def fill(bus: Bus) -> int:
    """How many keys the stream takes before it refuses one."""
    for number in range(1000):
        try:
            await bus.publish(key_state(f"key-{number}"), key(number), expect_last=0)
        except StreamFullError:
            return number
    raise AssertionError("it was never full")


async def test_a_full_stream_refuses_what_is_new_and_keeps_what_it_has(
    bus: Bus, broker: NatsServer
):
    await limited(broker, "KEYS")
    taken = await fill(bus)

    with pytest.raises(StreamFullError, match=r"key\.state\.\*: its stream is full; nothing was"):
        await bus.publish(key_state(f"key-{taken}"), key(taken), expect_last=0)
    kept = [stored.body.key_id async for stored in bus.replay(["key.state.*"])]
    assert kept == [f"key-{number}" for number in range(taken)]
    # The others have room of their own.
    await bus.publish(policy_state("acme"), PolicyState(tenant="acme", version=1))
    await bus.publish(eval_state("eval-1"), EvalState(eval_id="eval-1"))


async def test_in_a_full_stream_a_key_can_still_be_revoked(bus: Bus, broker: NatsServer):
    await limited(broker, "KEYS")
    taken = await fill(bus)
    now = datetime.now(UTC)
    for number in range(taken):
        stored = await bus.last(key_state(f"key-{number}"), KeyState)
        assert stored is not None
        revoked = key(
            *(number,), key_sha256="", scopes=[], revoked=True, revoked_at=now, changed_by="ada"
        )
        await bus.publish(
            key_state(f"key-{number}"),
            revoked,
            expect_last=stored.sequence,
            kept_seconds=30 * 24 * 3600,
        )

    states = [stored.body async for stored in bus.replay(["key.state.*"])]
    assert [state.revoked for state in states] == [True] * taken


async def test_what_says_how_long_it_is_kept_is_forgotten_then_and_may_be_written_anew(bus: Bus):
    subject = key_state("key-1")
    first = await bus.publish(subject, key(1), expect_last=0)
    await bus.publish(subject, key(1, revoked=True), expect_last=first, kept_seconds=1)
    await bus.publish(key_state("key-2"), key(2), expect_last=0)

    async def is_forgotten() -> bool:
        return await bus.last(subject, KeyState) is None

    await eventually(is_forgotten)
    assert [stored.body.key_id async for stored in bus.replay(["key.state.*"])] == ["key-2"]
    await bus.publish(subject, key(1), expect_last=0)


async def test_what_is_kept_for_thousands_of_years_is_not_forgotten_at_once(bus: Bus):
    for number, years in enumerate((99, 101, 8000)):
        seconds = years * 365 * 24 * 3600
        await bus.publish(key_state(f"key-{number}"), key(number), kept_seconds=seconds)
    await bus.publish(key_state("key-gone"), key(9), kept_seconds=1)

    async def is_forgotten() -> bool:
        return await bus.last(key_state("key-gone"), KeyState) is None

    await eventually(is_forgotten)
    assert [stored.body.key_id async for stored in bus.replay(["key.state.*"])] == [
        *("key-0", "key-1", "key-2")
    ]


async def test_of_an_owners_policies_the_newest_versions_are_kept(bus: Bus):
    for version in range(1, POLICY_VERSIONS + 3):
        await bus.publish(policy_state("acme"), PolicyState(tenant="acme", version=version))
    await bus.publish(policy_state("other"), PolicyState(tenant="other", version=1))

    kept = [stored.body.version async for stored in bus.replay([policy_state("acme")])]
    assert kept == [*range(3, POLICY_VERSIONS + 3)]


async def test_of_an_eval_only_the_last_version_is_kept(bus: Bus):
    for number in range(3):
        await bus.publish(eval_state("eval-1"), EvalState(eval_id="eval-1", name=f"{number}"))

    assert [stored.body.name async for stored in bus.replay(["eval.state.*"])] == ["2"]


@pytest.mark.parametrize(
    ("stream", "subject", "body"),
    [
        ("POLICIES", policy_state("acme"), PolicyState(bundle=b"x" * SMALL)),
        ("EVALS", eval_state("eval-1"), EvalState(name="x" * SMALL)),
    ],
)
async def test_policies_and_evals_are_refused_too_when_there_is_no_room(
    bus: Bus, broker: NatsServer, stream: str, subject: str, body: Message
):
    await limited(broker, stream)
    with pytest.raises(StreamFullError):
        await bus.publish(subject, body)


async def test_a_link_closes_quietly_that_has_words_for_a_broker_that_is_gone(tmp_path: Path):
    async with run_nats(tmp_path) as broker:
        async with open_link(broker.url, broker.token, name="test") as link:
            broker.kill()
            await eventually(lambda: not link.connected)
            # As an acknowledgement is: kept by the client until the broker is back.
            await link.client.publish("ack", b"")
        assert link.client.is_closed
