"""Several asynchronous generators read as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Ended:
    """A source has no more items, for this reason when it failed."""

    error: BaseException | None


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
    items: asyncio.Queue[Item | _Ended] = asyncio.Queue(maxsize=len(sources))
    leaving = False

    async def read(source: AsyncGenerator[Item, None]) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(source):
                async for item in source:
                    await items.put(item)
        except BaseException as caught:
            # A source can also be cancelled from within; nobody would tell the reader of it.
            if leaving:
                raise
            error = caught
        await items.put(_Ended(error))

    reading = [asyncio.create_task(read(source)) for source in sources]
    left = len(sources)
    try:
        while left:
            item = await items.get()
            if not isinstance(item, _Ended):
                yield item
                continue
            if item.error is not None:
                raise item.error
            left -= 1
    finally:
        leaving = True
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        # A task that was cancelled before its first step has not touched its source.
        for source in sources:
            await source.aclose()
