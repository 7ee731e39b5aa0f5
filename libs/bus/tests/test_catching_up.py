"""A service that waits for its read models at the start ends when it is told to."""

import asyncio
from typing import Any

import pytest
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel, caught_up
from modelmill_bus.subjects import DATASET_READY


class Datasets(ReadModel):
    def _apply(self, stored: Stored[Any]) -> None:
        pass


async def test_it_is_heard_that_all_have_caught_up(bus: Bus):
    read_models = [Datasets(bus, [DATASET_READY]) for _ in range(2)]
    following = [asyncio.create_task(each.run()) for each in read_models]
    try:
        assert await asyncio.wait_for(caught_up(read_models, asyncio.Event()), 60)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_is_told_to_end_waits_no_more_for_what_never_catches_up(bus: Bus, is_first: bool):
    stopping, left = asyncio.Event(), asyncio.all_tasks()
    never = Datasets(bus, [DATASET_READY])  # nobody runs it
    if is_first:
        stopping.set()
    waiting = asyncio.create_task(caught_up([never], stopping))
    assert is_first or not (await asyncio.wait([waiting], timeout=0.1))[0]

    stopping.set()

    assert not await asyncio.wait_for(waiting, 60)
    assert asyncio.all_tasks() == left
