"""What the protocol relies on from a durable consumer, of the real broker and the one in memory."""

import asyncio
from typing import Any

from modelmill_bus.bus import Bus
from modelmill_testkit.waiting import WITHIN_SECONDS, eventually

from tests.machine.stages import put

ACK_WAIT = 2.0
"""Long enough that nobody on a busy machine is a whole one late."""
LONG_ACK_WAIT = 60.0


def consumer(bus: Bus, ack_wait: float = ACK_WAIT) -> Any:
    return bus.deliveries("trainer-work", ["file.state.*"], ack_wait_seconds=ack_wait)


async def taken(deliveries: Any, within: float = WITHIN_SECONDS) -> Any:
    return await eventually(lambda: deliveries.next(timeout=0.2), within=within)


async def test_each_message_goes_to_one_of_several_consumers(stage, bus):
    other = await stage.connect()
    for number in range(6):
        await put(bus, number)
    here, there = consumer(bus), consumer(other)
    got = [await taken(each) for _ in range(3) for each in (here, there)]
    for each in got:
        await each.ack()

    assert sorted(each.metadata.sequence.stream for each in got) == [1, 2, 3, 4, 5, 6]
    assert await here.next(timeout=1.5 * ACK_WAIT) is None


async def test_a_delivery_without_a_sign_of_life_goes_to_somebody_else(stage, bus):
    await put(bus, 1)
    dying, heir = consumer(bus), consumer(await stage.connect())
    first = await taken(dying)
    assert await heir.next(timeout=ACK_WAIT / 2) is None
    second = await taken(heir)

    assert second.metadata.sequence.stream == first.metadata.sequence.stream
    assert second.metadata.sequence.consumer > first.metadata.sequence.consumer


async def test_a_sign_of_life_keeps_a_delivery(stage, bus):
    await put(bus, 1)
    here, idle = consumer(bus), consumer(await stage.connect())
    message = await taken(here)
    for _ in range(6):
        await message.in_progress()
        assert await idle.next(timeout=ACK_WAIT / 4) is None
    await message.ack()

    assert await idle.next(timeout=1.5 * ACK_WAIT) is None


async def test_what_is_given_back_comes_again_at_once_or_after_its_delay(bus):
    loop = asyncio.get_running_loop()
    await put(bus, 1)
    here = consumer(bus, LONG_ACK_WAIT)
    message = await taken(here)
    await message.nak()
    again = await taken(here, within=LONG_ACK_WAIT / 2)
    began = loop.time()
    await again.nak(delay=1.0)
    await (await taken(here)).ack()

    assert loop.time() - began > 0.9


async def test_a_late_acknowledgement_of_another_is_taken_as_one(stage, bus):
    await put(bus, 1)
    zombie, heir = consumer(bus), consumer(await stage.connect())
    late = await taken(zombie)
    await taken(heir)
    await late.ack()

    assert await heir.next(timeout=1.5 * ACK_WAIT) is None


async def test_consumed_messages_come_again_until_their_handler_returns(bus):
    stopping, handled = asyncio.Event(), []

    async def handle(stored: Any) -> None:
        handled.append(stored.body.size_bytes)
        if handled == [1]:
            raise RuntimeError("the first time fails")

    await put(bus, 1)
    await put(bus, 2)
    consuming = asyncio.create_task(bus.consume("x-files", ["file.state.*"], handle, stopping))
    await eventually(lambda: len(handled) == 3)
    stopping.set()
    await consuming

    async def is_done_with() -> bool:
        # The broker takes acknowledgements in a moment after it got them.
        info = await bus._link.js.consumer_info("DATASETS", "x-files")
        return bool(info.num_pending + info.num_ack_pending == 0)

    await eventually(is_done_with)
    assert sorted(handled) == [1, 1, 2]
