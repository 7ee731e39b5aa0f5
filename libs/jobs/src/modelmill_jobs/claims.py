"""Claims of jobs: every write of `job.state.<id>` is a compare-and-set."""

import asyncio
import logging
import secrets
import time

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JobRequested,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.subjects import job_state
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_jobs.errors import Fenced
from modelmill_jobs.job_status import TERMINAL
from modelmill_jobs.sizes import as_resources

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2
GIVE_UP_SECONDS = 10.0


class Claim:
    """Exclusive right to write a job's state, until another worker claims it.

    Args:
        before: the last state, or None when nobody wrote one yet.
        stopping: once set, a broker that is away is waited for `give_up_seconds` more.
    """

    def __init__(
        self,
        bus: Bus,
        request: JobRequested,
        before: Stored[JobState] | None,
        stopping: asyncio.Event,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self._bus = bus
        self._subject = job_state(request.job_id)
        self._last = before.sequence if before else 0
        self._writing = asyncio.Lock()
        self._unsettled: set[str] = set()
        """Nonces of writes of which nobody heard whether they landed: their task was cancelled."""
        self._stopping = stopping
        self._give_up_seconds = give_up_seconds
        self._give_up_at = float("inf")
        self.fence = 0
        self.state = JobState(
            job_id=request.job_id,
            kind=request.kind,
            tenant=request.tenant,
            status=JOB_STATUS_QUEUED,
        )
        if before is not None:
            self.state.CopyFrom(before.body)

    @property
    def last_written(self) -> int:
        """Sequence of the newest state of the job that is known here."""
        return self._last

    async def take(self, owner: str, size: MachineSize | None = None) -> None:
        """Claim the job: running, one attempt more, and a fence that is ours.

        Args:
            size: what the worker has, for whoever wonders which jobs fit.

        Raises:
            Fenced: somebody else claimed it first.
            UnavailableError: the process stops and the broker stayed away.
        """
        state = self.copy()
        if state.status == JOB_STATUS_RUNNING:
            state.lost += 1
        state.status = JOB_STATUS_RUNNING
        state.owner = owner
        state.attempt += 1
        state.fence = 0
        state.ClearField("worker")
        if size is not None:
            state.worker.CopyFrom(as_resources(size))
        if not state.HasField("started_at"):
            state.started_at.GetCurrentTime()
        self.fence = await self.write(state)
        self.state.fence = self.fence

    async def give_back(self) -> None:
        """Let the job wait as if it had not been claimed.

        Raises:
            Fenced: somebody else wrote.
            UnavailableError: the process stops and the broker stayed away.
        """
        state = self.copy()
        state.status = JOB_STATUS_QUEUED
        state.attempt -= 1
        if not state.attempt:
            state.ClearField("started_at")
        await self.write(state)

    async def write(self, state: JobState) -> int:
        """Make `state` the job's state and return its sequence; safe to call from several tasks.

        A write whose answer got lost is sent again unchanged: either it lands now, or the broker
        refuses it and a second look tells whose message won.

        Raises:
            Fenced: somebody else wrote; nothing of ours may be written any more.
            UnavailableError: the process stops and the broker stayed away.
        """
        async with self._writing:
            state.nonce = secrets.token_hex(8)
            state.updated_at.GetCurrentTime()
            if state.status in TERMINAL:
                state.finished_at.GetCurrentTime()
            self._unsettled.add(state.nonce)
            self._last = await self._resolve(state)
            # What was sent before and did not land expects an older sequence: it never will.
            self._unsettled.clear()
            self.state.CopyFrom(state)
            return self._last

    def copy(self) -> JobState:
        """The state as last written, to change and hand to `write`."""
        state = JobState()
        state.CopyFrom(self.state)
        return state

    async def is_ours(self) -> bool:
        """Whether the last state is still the one that we wrote.

        Raises:
            UnavailableError: the broker does not answer.
        """
        async with self._writing:
            stored = await self._bus.last(self._subject, JobState)
            ours = {self.state.nonce, *self._unsettled}
            return stored is not None and stored.body.nonce in ours

    async def _resolve(self, state: JobState) -> int:
        while True:
            try:
                return await self._bus.publish(self._subject, state, expect_last=self._last)
            except StaleWriteError:
                own = await self._find_own()
                if own is None:
                    raise Fenced(f"job {state.job_id} has another owner") from None
                if own.body.nonce == state.nonce:
                    return own.sequence
                # An earlier one of ours landed, whose task did not live to hear of it: go on there.
                self._last = own.sequence
                if own.body.checkpoint.step > state.checkpoint.step:
                    state.checkpoint.CopyFrom(own.body.checkpoint)
                    state.checkpoint_before.CopyFrom(own.body.checkpoint_before)
            except UnavailableError:
                if not await self._pause():
                    raise

    async def _find_own(self) -> Stored[JobState] | None:
        """The last state if it is one that we sent."""
        while True:
            try:
                stored = await self._bus.last(self._subject, JobState)
            except UnavailableError:
                if not await self._pause():
                    raise
                continue
            return stored if stored and stored.body.nonce in self._unsettled else None

    async def _pause(self) -> bool:
        """Wait before another try; False when it is time to give up."""
        if self._stopping.is_set():
            self._give_up_at = min(self._give_up_at, time.monotonic() + self._give_up_seconds)
        await asyncio.sleep(RETRY_SECONDS)
        return time.monotonic() < self._give_up_at
