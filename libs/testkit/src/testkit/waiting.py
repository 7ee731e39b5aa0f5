"""Waiting for what must become true, instead of sleeping and hoping."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], *, within: float = 10.0) -> T:
    """The first truthy value of `condition`, asked about 50 times a second.

    `condition` may be a coroutine function. An exception that it raises ends the wait at once.

    Raises:
        AssertionError: it did not come true within `within` seconds; names the condition and its
            last value.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        answer = condition()
        value: T = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if loop.time() >= deadline:
            raise AssertionError(f"not within {within:g} s: {_name_of(condition)} is {value!r}")
        await asyncio.sleep(0.02)


def _name_of(condition: Callable[..., object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
