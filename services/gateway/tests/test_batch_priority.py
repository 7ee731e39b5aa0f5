"""Batches let people go first, for whom there is no room at once."""

import asyncio
from pathlib import Path
from typing import Any

from gateway_support.batches import ended, line, ordered
from gateway_support.house import run_house
from testkit.waiting import eventually


async def test_nothing_of_a_batch_begins_while_people_wait_for_room(tmp_path: Path):
    # Room for one of these answers at a time.
    async with run_house(tmp_path, tokens_in_hand=600) as house:
        people, client = house.openai(tenant="people"), house.openai(tenant="machines")
        house.inference.hold_after = 0

        async def asked(name: str) -> Any:
            turns: Any = [{"role": "user", "content": name}]
            return await people.chat.completions.create(model="default", messages=turns)

        first = asyncio.create_task(asked("first"))
        await eventually(lambda: house.inference.in_flight == 1)
        second = asyncio.create_task(asked("second"))
        batch = await ordered(client, [line(f"b{n}", content="batch") for n in range(3)])

        async def has_begun() -> bool:
            seen = await client.batches.retrieve(batch.id)
            return (seen.status, seen.request_counts.total) == ("in_progress", 3)

        await eventually(has_begun)
        house.inference.hold_after = None
        house.inference.held.set()
        await asyncio.gather(first, second)
        batch = await ended(client, batch.id)

        said = [each.conversation.messages[0].content for each in house.inference.requests]
        assert batch.request_counts.completed == 3
        assert said == ["first", "second", *["batch"] * 3]
