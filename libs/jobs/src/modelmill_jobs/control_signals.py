"""Control signals of jobs: one follower per worker, and a fresh read before each claim."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_RUN, JobControl, JobDesiredState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import job_control
from opentelemetry.context import Context


class ControlSignal:
    """The newest desired state for one job that this process has heard, from whichever source."""

    def __init__(self, bus: Bus, job_id: str) -> None:
        self._bus = bus
        self._job_id = job_id
        self.desired_state: JobDesiredState.ValueType = JOB_DESIRED_STATE_RUN
        self.trace = Context()
        """Trace of whoever asked for it."""
        self.stop = asyncio.Event()
        """Set while anything but RUN is desired."""
        self._sequence = 0

    def take(self, stored: Stored[JobControl]) -> None:
        """Hear a desired state; an older one than the last is no news."""
        if stored.sequence <= self._sequence:
            return
        self._sequence = stored.sequence
        self.desired_state = stored.body.desired_state
        self.trace = stored.trace
        if self.desired_state == JOB_DESIRED_STATE_RUN:
            self.stop.clear()
        else:
            self.stop.set()

    async def look(self) -> JobDesiredState.ValueType:
        """The desired state in force, from the stream's leader.

        Raises:
            UnavailableError: the broker does not answer.
        """
        stored = await self._bus.last(job_control(self._job_id), JobControl)
        if stored is not None:
            self.take(stored)
        return self.desired_state


class ControlSignals:
    """Follows `job.control.*` once, for all jobs that somebody here listens for."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heard: dict[str, list[ControlSignal]] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        async for stored in self._bus.follow(["job.control.*"]):
            for heard in self._heard.get(stored.body.job_id, ()):
                heard.take(stored)

    @contextmanager
    def listen(self, job_id: str) -> Iterator[ControlSignal]:
        """Hear every desired state for the job from now on, until the block ends.

        Whoever listens and then looks misses none, whenever it is written.
        """
        heard = ControlSignal(self._bus, job_id)
        self._heard.setdefault(job_id, []).append(heard)
        try:
            yield heard
        finally:
            self._heard[job_id].remove(heard)
            if not self._heard[job_id]:
                del self._heard[job_id]


class StopOrder:
    """Whether an attempt shall end early: its process stops, or somebody asks for it.

    Args:
        stopping: of the process.
    """

    def __init__(self, stopping: asyncio.Event, heard: ControlSignal) -> None:
        self.process = stopping
        self.heard = heard

    def is_set(self) -> bool:
        """Whether it shall end now; a desired state may be withdrawn."""
        return self.process.is_set() or self.heard.stop.is_set()

    async def wait(self) -> None:
        """Return once it shall end."""
        waits = [asyncio.create_task(event.wait()) for event in (self.process, self.heard.stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
