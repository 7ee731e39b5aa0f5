"""Records of usage on their way: together, patient while the bus is away, counted when lost."""

import pytest
from gateway_support.usage_bus import Bus, dropped, put, running
from google.protobuf.json_format import MessageToJson
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_bus import record_queue
from modelmill_gateway.adapters.usage import MOST_AT_ONCE, UsageQueue
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

BUS_TAKES_BYTES = 1024 * 1024
LONGEST_SUBJECT = "\N{OLD ITALIC LETTER A}" * 255


async def test_records_of_the_same_moments_go_together_each_tenants_apart_and_none_twice():
    bus, lost = Bus(), dropped()
    queue = UsageQueue(bus, 1000)
    many = [f"r{number}" for number in range(MOST_AT_ONCE + 1)]
    async with running(queue):
        put(queue, "acme", *many)
        put(queue, "other", "x")
        await queue.drain(10)
    by_tenant = {
        tenant: [ids for name, ids in bus.stored if name == tenant] for tenant, _ in bus.stored
    }
    assert by_tenant == {"acme": [many[:MOST_AT_ONCE], many[MOST_AT_ONCE:]], "other": [["x"]]}
    assert dropped() == lost


async def test_while_the_bus_is_away_records_wait_under_one_id(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(record_queue, "RETRY_SECONDS", 0.01)
    bus, lost = Bus(*[UnavailableError("away")] * 3), dropped()
    queue = UsageQueue(bus, 2)
    async with running(queue):
        put(queue, "acme", "a")
        await eventually(lambda: bus.ids)
        put(queue, "acme", "b")
        await queue.drain(10)
        # What has gone out makes room.
        put(queue, "acme", "c", "d")
        await queue.drain(10)
    assert bus.stored == [("acme", ["a"]), ("acme", ["b"]), ("acme", ["c", "d"])]
    assert len(set(bus.ids[:4])) == 1
    assert dropped() == lost


async def test_what_is_more_than_may_wait_is_lost_and_counted_and_so_is_what_is_left_at_the_end():
    bus, lost = Bus(*[UnavailableError("away")] * 99), dropped()
    queue = UsageQueue(bus, 2)
    put(queue, "acme", "a", "b", "c")
    assert dropped() == lost + 1
    async with running(queue):
        await eventually(lambda: bus.ids)
        await queue.drain(0.01)
    assert dropped() == lost + 3


async def test_a_message_that_the_bus_refuses_is_lost_alone_and_its_records_are_counted():
    bus, lost = Bus(RuntimeError("a bug")), dropped()
    queue = UsageQueue(bus, 10)
    async with running(queue):
        put(queue, "acme", "a", "b")
        put(queue, "other", "c")
        await queue.drain(10)
    assert bus.stored == [("other", ["c"])]
    assert dropped() == lost + 2


def test_as_many_of_the_longest_records_as_go_together_are_less_than_the_bus_takes():
    record = UsageRecorded(
        request_id="r" * 64,
        tenant="t" * 63,
        caller=LONGEST_SUBJECT,
        version_id="v" * 63,
        prompt_tokens=2**32 - 1,
        completion_tokens=2**32 - 1,
        first_token_seconds=1 / 3,
        total_seconds=100 / 3,
        finish_reason="content_filter",
        policy_digest="sha256:" + "0" * 64,
        key_id="key-" + "0" * 32,
        micros=2**64 - 1,
    )
    record.at.GetCurrentTime()
    batch = UsageBatch(tenant=record.tenant, requests=[record] * MOST_AT_ONCE)
    assert len(MessageToJson(batch, indent=None)) < BUS_TAKES_BYTES
