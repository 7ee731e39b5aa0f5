"""Waiting for what must become true, instead of sleeping and hoping."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

from modelmill_service_kit.errors import UnavailableError

T = TypeVar("T")
WITHIN_SECONDS = 60.0
"""What is quick alone may take this long beside other workers on few cores; only failures do."""


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], *, within: float = WITHIN_SECONDS
) -> T: ...


@overload
async def eventually(condition: Callable[[], T], *, within: float = WITHIN_SECONDS) -> T: ...


async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, within: float = WITHIN_SECONDS
) -> T:
    """The first truthy value of `condition`, asked 50 times a second, and after 4 s 5 times.

    `condition` may be a coroutine function. What takes long is asked less often: asking takes
    processor time from what is waited for. `UnavailableError` counts as "not yet", because a broker
    or service on a busy machine may be late with one answer; any other exception ends the wait.

    Raises:
        AssertionError: it did not come true within `within` seconds; names the condition and its
            last value.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    deadline = began + within
    while True:
        value: T | UnavailableError
        try:
            answer = condition()
            value = await answer if inspect.isawaitable(answer) else answer
        except UnavailableError as error:
            value = error
        else:
            if value:
                return value
        if loop.time() >= deadline:
            raise AssertionError(f"not within {within:g} s: {_name_of(condition)} is {value!r}")
        await asyncio.sleep(min(max(0.02, (loop.time() - began) / 20), 0.2))


async def once_available(ask: Callable[[], Awaitable[T]]) -> T:
    """What comes of asking, again and again until nobody says that something is away.

    A service connects to a broker that is there again a moment later than a test does.

    Raises:
        AssertionError: it stayed away for `WITHIN_SECONDS`.
    """

    async def answer() -> list[T]:
        return [await ask()]

    (found,) = await eventually(answer)
    return found


async def is_once_done(attempt: Callable[[], Awaitable[object]], *, within: float) -> bool:
    """Whether one of a few attempts takes less than `within` seconds.

    Any may be late on a busy machine; what waits for too long of its own accord is late each time.
    """
    loop = asyncio.get_running_loop()
    for _ in range(5):
        began = loop.time()
        await attempt()
        if loop.time() - began < within:
            return True
    return False


def _name_of(condition: Callable[..., object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
