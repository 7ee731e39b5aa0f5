"""Several asynchronous generators read as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

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
    readers = _Readers(sources)
    left = len(sources)
    try:
        while left:
            read = await readers.items.get()
            if not isinstance(read, _Ended):
                yield read
                continue
            if read.error is not None:
                raise read.error
            left -= 1
    finally:
        await readers.close()


class _Readers(Generic[Item]):
    """A task for each source, which puts what it reads into one queue."""

    def __init__(self, sources: Sequence[AsyncGenerator[Item, None]]) -> None:
        # One place each: a slow reader slows the sources down.
        self.items: asyncio.Queue[Item | _Ended] = asyncio.Queue(maxsize=len(sources))
        self._leaving = False
        self._sources = sources
        self._tasks = [asyncio.create_task(self._read(source)) for source in sources]

    async def _read(self, source: AsyncGenerator[Item, None]) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(source):
                async for item in source:
                    await self.items.put(item)
        except BaseException as caught:
            # A source can also be cancelled from within; nobody would tell the reader of it.
            if self._leaving:
                raise
            error = caught
        await self.items.put(_Ended(error))

    async def close(self) -> None:
        """Close every source, wherever it is."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that was cancelled before its first step has not touched its source.
        for source in self._sources:
            await source.aclose()
