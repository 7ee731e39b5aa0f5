"""Several asynchronous generators read as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import TypeVar

Item = TypeVar("Item")


async def side_by_side(
    sources: Sequence[AsyncGenerator[Item, None]],
) -> AsyncGenerator[Item, None]:
    """Items of all sources as they come, those of each in its order.

    Leaving it, and the first error of a source, closes all of them.
    """
    if len(sources) == 1:
        async with aclosing(sources[0]) as only:
            async for item in only:
                yield item
        return
    # One place each: a slow reader slows the sources down.
    items: asyncio.Queue[Item] = asyncio.Queue(maxsize=len(sources))

    async def read(source: AsyncGenerator[Item, None]) -> None:
        async with aclosing(source):
            async for item in source:
                await items.put(item)

    reading = [asyncio.create_task(read(source)) for source in sources]
    whole = asyncio.gather(*reading)
    try:
        while not (whole.done() and items.empty()):
            taking = asyncio.create_task(items.get())
            await asyncio.wait((taking, whole), return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                yield taking.result()
                continue
            taking.cancel()
            whole.result()
    finally:
        for task in reading:
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await whole
        await asyncio.gather(*reading, return_exceptions=True)
