"""Slots of a worker that only short jobs may take, so that they do not wait for long ones."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_bus.envelope import Stored

from modelmill_jobs.handlers import JobHandler
from modelmill_jobs.sizes import WorkerCapacity, both, size_of
from modelmill_jobs.waiting import WaitingJobs

LOOK_SECONDS = 0.5
"""Between two looks at a queue in which nothing happens."""


@dataclass(frozen=True)
class ShortJobs:
    """What is kept for short jobs.

    Args:
        slots: jobs at a time, beside those of the worker's other slots; 0 keeps nothing.
        seconds: a job is short that is expected to take no longer. One of which nothing is
            expected is none.
    """

    slots: int = 0
    seconds: float = 0.0


NO_SHORT_JOBS = ShortJobs()

Take = Callable[[JobHandler, Stored[Any]], Awaitable[bool]]
"""Sees a job through; false if it could not be begun."""


class ShortSlots:
    """Takes short jobs in their turn, as far as they fit next to what the worker has in hand.

    A short job takes no room from the job whose turn it is, or that might wait for ever: while
    another slot is free for it, only what fits beside it is taken here.

    Args:
        slots: of the worker, for jobs of any length.
    """

    def __init__(
        self,
        short: ShortJobs,
        waiting: WaitingJobs,
        capacity: WorkerCapacity,
        handlers: Sequence[JobHandler],
        *,
        slots: int,
        take: Take,
    ) -> None:
        self._short = short
        self._waiting = waiting
        self._capacity = capacity
        self._handlers = handlers
        self._slots = slots
        self._take = take
        self._taken: set[str] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Take jobs until `stopping`; those in hand are seen to their end."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._short.slots):
                tasks.create_task(self._serve(stopping))

    async def _serve(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            for handler in self._handlers:
                if await self._took_one(handler):
                    break
            else:
                await self._waiting.news(within=LOOK_SECONDS)

    async def _took_one(self, handler: JobHandler) -> bool:
        asked = self._waiting.next(handler.kind, self._capacity, within_seconds=self._short.seconds)
        if asked is None or not self._has_room(asked):
            return False
        job_id = asked.body.job_id
        self._taken.add(job_id)
        try:
            return await self._take(handler, asked)
        finally:
            self._taken.discard(job_id)

    def _has_room(self, asked: Stored[Any]) -> bool:
        needs = size_of(asked.body.needs)
        if not self._capacity.have_room_for(needs):
            return False
        if len(self._capacity.job_ids - self._taken) >= self._slots:
            return True  # others wait for a slot, which a short job does not take from them
        firsts = (self._waiting.next(each.kind, self._capacity) for each in self._handlers)
        return all(
            first is None
            or first.body.job_id == asked.body.job_id
            or self._capacity.have_room_for(both(needs, size_of(first.body.needs)))
            for first in firsts
        )
