"""Both halves of the client behind one face, so that a test is written once."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial, wraps
from typing import Any

HALVES = ("async", "sync")
END = object()


class Awaited:
    """The synchronous client as something to await: its calls run in threads."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if name == "openai":
            return found
        if name == "with_options":
            return lambda **options: Awaited(found(**options))
        if inspect.isroutine(found):
            return wraps(found)(lambda *given, **named: Pending(partial(found, *given, **named)))
        return Awaited(found)


class Pending:
    """A call that is made when it is awaited, or read item by item."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self._call).__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        items = await asyncio.to_thread(self._call)
        while (item := await asyncio.to_thread(next, items, END)) is not END:
            yield item
