"""The job queue of a worker: waiting jobs of its kinds in fair order, and slots for short ones."""

import asyncio
import heapq
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_RUN,
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JobControl,
    JobDesiredState,
    JobRequested,
    JobResumed,
    JobState,
    JobStatus,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_jobs.active import JobHandler
from modelmill_jobs.errors import retry_delay
from modelmill_jobs.job_status import TERMINAL, runs_again
from modelmill_jobs.sizes import NOTHING, WorkerCapacity, both, size_of


@dataclass(frozen=True)
class WaitingJob:
    """A job that nobody works on and that shall run."""

    job_id: str
    tenant: str
    sequence: int
    """Of the message that asked for it: older ones go first within a tenant and a priority."""
    priority: int = JOB_PRIORITY_NORMAL
    """Higher ones go first within a tenant."""
    needs: MachineSize = NOTHING
    """Of a worker."""


def fair_order(
    waiting: Iterable[WaitingJob], running: Mapping[str, int], served: Mapping[str, int]
) -> Iterator[WaitingJob]:
    """Jobs in the order in which they will start.

    The tenant with the fewest running jobs is next; among equals the one that was served longest
    ago. So a tenant's hundred jobs delay another's one by no more than a job that runs already.
    A priority orders the jobs of one tenant and says nothing between tenants.

    Args:
        running: jobs in work, by tenant.
        served: when a job of the tenant was last begun, in any unit that grows; absent for never.
    """
    queues: dict[str, deque[WaitingJob]] = defaultdict(deque)
    # Not that of the first in its queue: a priority must not move a tenant.
    oldest: dict[str, int] = {}
    for job in sorted(waiting, key=lambda job: (-job.priority, job.sequence)):
        queues[job.tenant].append(job)
        oldest[job.tenant] = min(job.sequence, oldest.get(job.tenant, job.sequence))
    turns = [
        (running.get(tenant, 0), served.get(tenant, 0), oldest[tenant], tenant)
        for tenant, queue in queues.items()
    ]
    heapq.heapify(turns)
    now = max(served.values(), default=0)
    while turns:
        in_work, _, _, tenant = heapq.heappop(turns)
        queue = queues[tenant]
        yield queue.popleft()
        now += 1
        if queue:
            heapq.heappush(turns, (in_work, now, oldest[tenant], tenant))


Asked = Stored[JobRequested] | Stored[JobResumed]


@dataclass
class _Job:
    kind: str
    tenant: str
    asked: Asked
    """The newest message that asked for it."""
    status: JobStatus.ValueType = JOB_STATUS_QUEUED
    state_sequence: int = 0
    claimed: int = 0
    """Sequence of its last claim."""
    desired_state: JobDesiredState.ValueType = JOB_DESIRED_STATE_RUN
    not_before: float = 0.0
    """On this process's clock."""

    @property
    def waits(self) -> bool:
        """Whether it is to run, and nobody works on it."""
        if self.desired_state != JOB_DESIRED_STATE_RUN:
            return False
        resumed_since = self.asked.sequence > self.state_sequence
        return self.status == JOB_STATUS_QUEUED or runs_again(
            self.status, self.desired_state, resumed_since=resumed_since
        )

    @property
    def needs(self) -> MachineSize:
        """Of a machine."""
        return size_of(self.asked.body.needs)

    def as_waiting(self, job_id: str) -> WaitingJob:
        """As it stands in the queue."""
        priority = self.asked.body.priority or JOB_PRIORITY_NORMAL
        return WaitingJob(job_id, self.tenant, self.asked.sequence, priority, self.needs)


class WaitingJobs(ReadModel):
    """Follows JOBS; keeps what has not ended. What it says may be a moment old.

    Args:
        retry_seconds: as for `retry_delay`.
        jobs_per_tenant: jobs of one tenant and kind that may be in work; 0 for any number.
    """

    def __init__(
        self, bus: Bus, kinds: Sequence[str], *, retry_seconds: float, jobs_per_tenant: int = 0
    ) -> None:
        asking = [f"job.{word}.{kind}.>" for word in ("requested", "resumed") for kind in kinds]
        super().__init__(bus, (*asking, "job.control.*", "job.state.*"))
        self._retry_seconds = retry_seconds
        self._jobs_per_tenant = jobs_per_tenant
        self._jobs: dict[str, _Job] = {}
        self._served: dict[str, dict[str, int]] = {kind: {} for kind in kinds}
        """When a tenant's last claim of a kind was, as a sequence of JOBS."""

    async def reach(self, sequence: int, within: float) -> bool:
        """Whether everything up to `sequence` of JOBS became known within so many seconds."""
        with suppress(UnavailableError):
            await self.wait_for(sequence, within)
            return True
        return False

    async def news(self, within: float) -> None:
        """Return once something has happened, or after so many seconds."""
        await self.reach(self._read.value + 1, within)

    def next(
        self, kind: str, capacity: WorkerCapacity, *, within_seconds: float | None = None
    ) -> Asked | None:
        """What asked for the job of this kind whose turn it is; None when that is not known.

        Args:
            hands: of the worker: jobs in them are being claimed, and what they can never hold is
                left to larger ones.
            within_seconds: only among jobs that are expected to take no longer; None for all.
        """
        if not self.ready.is_set():
            return None
        now = time.monotonic()
        of_kind = [(job_id, job) for job_id, job in self._jobs.items() if job.kind == kind]
        held = capacity.job_ids
        running = Counter(
            job.tenant for at, job in of_kind if job.status == JOB_STATUS_RUNNING or at in held
        )
        waiting = (
            job.as_waiting(job_id)
            for job_id, job in of_kind
            if job.waits and job.not_before <= now and job_id not in held
            if not self._is_enough(running[job.tenant]) and capacity.can_ever_hold(job.needs)
            if within_seconds is None or 0 < job.asked.body.expected_seconds <= within_seconds
        )
        first = next(fair_order(waiting, running, self._served[kind]), None)
        return None if first is None else self._jobs[first.job_id].asked

    def is_full(self, kind: str, tenant: str) -> bool:
        """Whether as many jobs of the tenant's are in work as may, as far as is known here."""
        return self._is_enough(len(self._in_work(kind, tenant)))

    async def is_within_limit(self, job_id: str, fence: int, within: float) -> bool:
        """Whether a job that was claimed may be begun.

        All workers see claims in the order of one stream. Whoever begins has read up to its own
        claim, so that of more claims than may be at once none but the first are begun.

        Args:
            fence: sequence of the claim.
            within: seconds in which that must be known.
        """
        if not self._jobs_per_tenant:
            return True
        if not await self.reach(fence, within) or job_id not in self._jobs:
            return False
        job = self._jobs[job_id]
        before = [each for each in self._in_work(job.kind, job.tenant) if each.claimed < fence]
        return not self._is_enough(len(before))

    def _in_work(self, kind: str, tenant: str) -> list[_Job]:
        return [
            job
            for job in self._jobs.values()
            if job.status == JOB_STATUS_RUNNING and (job.kind, job.tenant) == (kind, tenant)
        ]

    def _is_enough(self, in_work: int) -> bool:
        return 0 < self._jobs_per_tenant <= in_work

    def pass_over(self, job_id: str, seconds: float) -> None:
        """Let others go before it for a while."""
        if job_id in self._jobs:
            self._jobs[job_id].not_before = time.monotonic() + seconds

    def _apply(self, stored: Stored[Any]) -> None:
        body = stored.body
        if isinstance(body, JobState):
            self._take_state(stored.sequence, body)
        elif isinstance(body, JobControl):
            if body.job_id in self._jobs:
                self._jobs[body.job_id].desired_state = body.desired_state
        elif isinstance(body, JobRequested | JobResumed):
            kind, tenant, job_id = stored.subject.split(".")[2:]
            job = self._jobs.setdefault(job_id, _Job(kind, tenant, stored))
            job.asked = stored

    def _take_state(self, sequence: int, state: JobState) -> None:
        job = self._jobs.get(state.job_id)
        if job is None:
            return
        if state.status == JOB_STATUS_RUNNING and not state.fence:
            # The claim itself: it cannot know the sequence that it is given.
            self._served[job.kind][job.tenant] = job.claimed = sequence
        job.status, job.state_sequence = state.status, sequence
        if state.status == JOB_STATUS_QUEUED:
            job.not_before = time.monotonic() + retry_delay(state, self._retry_seconds)
        if state.status in TERMINAL and not job.waits:
            del self._jobs[state.job_id]


class Undelivered:
    """Stands for the delivery of a job that was taken in its turn without one.

    Its own delivery comes sooner or later, and finds it in good hands, over, or waiting again.
    """

    async def ack(self) -> None:
        """Nothing to acknowledge."""

    async def nak(self, delay: float | None = None) -> None:
        """Nothing to give back: the queue knows that the job waits again."""

    async def in_progress(self) -> None:
        """The job's progress says it."""


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

    @property
    def job_ids(self) -> frozenset[str]:
        """Of jobs that were taken here, or are about to be."""
        return frozenset(self._taken)

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
