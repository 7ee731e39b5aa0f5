"""Inbox: messages that the client has read and nobody has taken yet."""

import asyncio
from collections import deque
from typing import Any


class Inbox:
    """Where what was pulled arrives, by the callback of a subscription.

    The client's own `next_msg` makes a task and a timer for each message, also for one that is
    there already, which was most of what a replay cost. When none comes, it leaves its task in a
    cycle with the task's error: work for the collector, at each idle turn of each consumer.
    """

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._news = asyncio.Event()

    async def put(self, message: Any) -> None:
        """Called by the client."""
        self._messages.append(message)
        self._news.set()

    async def next(self, timeout: float) -> Any | None:
        """The next message, or None when none comes within `timeout` seconds."""
        if not self._messages:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._messages.popleft()

    def waiting(self) -> Any | None:
        """The next message that is there; None when none is."""
        return self._messages.popleft() if self._messages else None


def status_of(message: Any) -> str | None:
    """What the broker says instead of a message: a code of JetStream's pull requests."""
    status: str | None = (message.headers or {}).get("Status")
    return status
