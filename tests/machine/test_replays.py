"""A replay hands out all that is stored, also where the broker's count of it is too low."""

import asyncio

import pytest
from modelmill_testkit.fake_nats.broker import FakeBroker
from modelmill_testkit.fake_nats.consumers import Consumer

from tests.machine.fake_bus import connect
from tests.machine.stages import put


async def test_a_replay_does_not_end_early_by_a_count_that_is_too_low(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it may be right after a message has expired."""
    bus, _ = await connect(FakeBroker(asyncio.get_running_loop()), "reader")
    for number in range(4):
        await put(bus, number)
    counted = Consumer.left
    # A new consumer counts rightly; of what it delivers it says one too few.
    monkeypatch.setattr(Consumer, "left", lambda it: max(0, counted(it) - (it.place > 0)))

    found = [stored.body.size_bytes async for stored in bus.replay(["file.state.*"])]

    assert found == [0, 1, 2, 3]
