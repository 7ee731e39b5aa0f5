"""Batches let people go first, for whom there is no room at once."""

import asyncio
from pathlib import Path
from typing import Any

from gateway_support.batches import ended, line, ordered
from gateway_support.house import run_house
from modelmill_testkit.waiting import eventually
from openai import AsyncOpenAI

SMALL = {"model": "default", "messages": [{"role": "user", "content": "batch"}], "max_tokens": 15}


async def asked(client: AsyncOpenAI, name: str, tokens: int) -> Any:
    turns: Any = [{"role": "user", "content": name}]
    return await client.chat.completions.create(model="default", messages=turns, max_tokens=tokens)


async def test_nothing_of_a_batch_begins_while_people_wait_for_room(tmp_path: Path):
    async with run_house(tmp_path, tokens_in_hand=600) as house:
        people, client = house.openai(tenant="people"), house.openai(tenant="machines")
        house.inference.hold_after = 0
        first = asyncio.create_task(asked(people, "first", 500))
        await eventually(lambda: house.inference.in_flight == 1)
        # Both fit together, once the first is over. With a few small ones between them they do not.
        others = [asyncio.create_task(asked(people, name, 285)) for name in ("second", "third")]
        batch = await ordered(client, [line(f"b{n}", body=SMALL) for n in range(3)])

        async def has_begun() -> bool:
            seen = await client.batches.retrieve(batch.id)
            return (seen.status, seen.request_counts.total) == ("in_progress", 3)

        await eventually(has_begun)
        house.inference.hold_after = 1
        first_held, house.inference.held = house.inference.held, asyncio.Event()
        first_held.set()
        await first
        await eventually(lambda: len(house.inference.requests) >= 3)
        house.inference.held.set()
        await asyncio.gather(*others)
        batch = await ended(client, batch.id)

        said = [each.conversation.messages[0].content for each in house.inference.requests]
        assert batch.request_counts.completed == 3
        assert set(said[1:3]) == {"second", "third"}
        assert said[3:] == ["batch"] * 3
