"""A stream whose messages go once they are done with, and in which none keeps another waiting."""

import gc

from modelmill.gateway.v1.gateway_events_pb2 import WebhookDue
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import webhook_due
from modelmill_testkit.waiting import eventually


async def put(bus: Bus, webhook_id: str, number: int) -> None:
    due = WebhookDue(webhook_id=webhook_id, delivery_id=f"msg_{number}")
    await bus.publish(webhook_due(webhook_id), due)


async def test_a_message_goes_when_it_is_acknowledged_and_not_before(bus: Bus):
    await put(bus, "wh-1", 1)
    deliveries = bus.deliveries("gateway-webhooks", ["webhook.due.*"], ack_wait_seconds=0.3)
    first = await deliveries.next(timeout=60)
    again = await deliveries.next(timeout=60)
    before = (await bus.facts("WEBHOOKS")).messages
    await again.ack()
    await eventually(lambda: _messages(bus, 0))
    await deliveries.close()

    assert before == 1
    assert first.metadata.sequence.stream == again.metadata.sequence.stream


async def test_an_idle_turn_leaves_nothing_for_the_collector(bus: Bus):
    deliveries = bus.deliveries("gateway-webhooks", ["webhook.due.*"], ack_wait_seconds=30)
    assert await deliveries.next(timeout=0.1) is None
    gc.collect()
    gc.disable()
    try:
        assert await deliveries.next(timeout=0.1) is None
        left = [each for each in gc.get_objects() if isinstance(each, TimeoutError)]
    finally:
        gc.enable()
    await deliveries.close()

    assert left == []


async def test_however_many_are_put_off_the_next_is_delivered(bus: Bus):
    """Unless it is told otherwise, a consumer stops at a thousand that wait."""
    config = (await bus._link.js.stream_info("WEBHOOKS")).config
    await bus._link.js.update_stream(config.evolve(duplicate_window=0.1))
    for number in range(1001):
        await put(bus, "wh-away", number)
    deliveries = bus.deliveries("gateway-webhooks", ["webhook.due.*"], ack_wait_seconds=30)
    for _ in range(1001):
        message = await deliveries.next(timeout=60)
        await message.nak(delay=60)
    await put(bus, "wh-there", 1)
    message = await deliveries.next(timeout=60)
    await deliveries.close()

    assert message.subject == webhook_due("wh-there")


async def test_a_subject_that_holds_too_much_loses_its_own_oldest(bus: Bus):
    config = (await bus._link.js.stream_info("WEBHOOKS")).config
    assert config.max_msgs_per_subject == 10_000
    await bus._link.js.update_stream(config.evolve(max_msgs_per_subject=3))
    await put(bus, "wh-there", 1)
    for number in range(5):
        await put(bus, "wh-away", number)
    deliveries = bus.deliveries("gateway-webhooks", ["webhook.due.*"], ack_wait_seconds=30)
    left = [await deliveries.next(timeout=60) for _ in range(4)]
    await deliveries.close()

    assert [message.metadata.sequence.stream for message in left] == [1, 4, 5, 6]


async def test_the_newest_of_a_filter_is_told_whatever_came_after_it(bus: Bus):
    assert await bus.newest_sequence("webhook.due.*") == 0
    await put(bus, "wh-1", 1)
    await put(bus, "wh-2", 1)

    assert await bus.newest_sequence("webhook.due.*") == 2
    assert await bus.newest_sequence("webhook.due.wh-1") == 1


async def _messages(bus: Bus, count: int) -> bool:
    return (await bus.facts("WEBHOOKS")).messages == count
