"""Tasks that run beside the answers for as long as the service does."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Background tasks of the service; one that ends or fails stops the service.

    Args:
        stopping: set when a task ends before the service does.
    """

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until the block ends."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._stopping.set())
        self._tasks.append(task)

    async def __aenter__(self) -> "Background":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel all; raises what one of them failed with."""
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
