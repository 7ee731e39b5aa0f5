"""Queue order: waiting jobs of each kind, with estimated starts.

The order is `fair_order`'s, which the workers go by. It is worked out when somebody looks and
something has changed, once for all jobs of the kind; and of a queue so long that this takes
noticeable time, so seldom that it takes no more than a twentieth of it.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from statistics import median
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JobStatus
from modelmill_jobs.sizes import misfit
from modelmill_jobs.waiting import WaitingJob, fair_order
from modelmill_service_kit.machine_size import MachineSize


@dataclass(frozen=True)
class QueuePosition:
    """What is known of a job's turn; nothing of a job that does not wait."""

    position: int | None = None
    """1 is next among the jobs of its kind."""
    starts_at: datetime | None = None
    """UTC, without a zone; None while too little is known."""
    reason: str = ""
    """Why it waits for more than its turn; empty when it does not."""


NO_POSITION = QueuePosition()
"""Of a job that does not wait."""


RECENT = 20
"""Of so many jobs of a kind that succeeded last the median says how long the next one takes."""
ENOUGH = 3
"""With fewer nothing is said."""
SLOW_SECONDS = 0.05
REST_FACTOR = 20
"""An order that took longer than that to work out is used for twenty times as long."""


class QueuedJob(Protocol):
    """What the queue looks at in a job; see `modelmill_job_index.entry.Entry`."""

    @property
    def kind(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def status(self) -> JobStatus.ValueType: ...
    @property
    def claimed_at(self) -> datetime | None: ...
    @property
    def claimed_sequence(self) -> int: ...
    @property
    def worker_size(self) -> MachineSize | None: ...

    def waiting(self, job_id: str) -> WaitingJob | None:
        """As it stands in the queue; None when it does not."""

    def work_seconds(self) -> float:
        """What it took so far."""

    def told_left(self, now: datetime) -> float | None:
        """Seconds that it said to have left, less what has passed since; None if it is past."""


@dataclass(frozen=True)
class _Working:
    """A job in work."""

    job: QueuedJob
    began: datetime


@dataclass
class _Line:
    """The jobs of one kind."""

    waiting: dict[str, WaitingJob] = field(default_factory=dict)
    working: dict[str, _Working] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)
    took: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Seconds of those that succeeded last."""
    sizes: set[MachineSize] = field(default_factory=set)
    """Of the workers that were seen."""
    positions: dict[str, int] = field(default_factory=dict)
    is_current: bool = False
    good_until: float = 0.0


class QueueOrder:
    """Told of every change of a job; knows whose turn comes when.

    Args:
        clock: seconds that only grow.
        now: UTC, without a zone.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(tzinfo=None),
    ) -> None:
        self._clock = clock
        self._now = now
        self._lines: dict[str, _Line] = defaultdict(_Line)
        self._waiting_of: Counter[str] = Counter()

    def serve(self, kind: str, tenant: str, claimed_sequence: int) -> None:
        """A job of the tenant's was claimed then, as a sequence of JOBS; 0 for never."""
        served = self._lines[kind].served
        if claimed_sequence > served.get(tenant, 0):
            served[tenant] = claimed_sequence

    def see(self, job_id: str, job: QueuedJob) -> None:
        """Take in where a job stands now."""
        line = self._lines[job.kind]
        line.is_current = False
        self.serve(job.kind, job.tenant, job.claimed_sequence)
        waiting = job.waiting(job_id)
        self._waiting_of[job.tenant] += (waiting is not None) - (job_id in line.waiting)
        if waiting is None:
            line.waiting.pop(job_id, None)
        else:
            line.waiting[job_id] = waiting
        if job.worker_size is not None:
            line.sizes.add(job.worker_size)
        if job.status == JOB_STATUS_RUNNING:
            line.working[job_id] = _Working(job, job.claimed_at or self._now())
        elif line.working.pop(job_id, None) is not None and job.status == JOB_STATUS_SUCCEEDED:
            line.took.append(job.work_seconds())

    def recall(self, kind: str, seconds: float, size: MachineSize | None = None) -> None:
        """A job took so long, on such a worker, that ended before this process began.

        To be told of oldest first.
        """
        self._lines[kind].took.append(seconds)
        if size is not None:
            self._lines[kind].sizes.add(size)

    def turn(self, kind: str, job_id: str) -> QueuePosition:
        """When the job's turn comes."""
        line = self._lines[kind]
        if job_id not in line.waiting:
            return NO_POSITION
        reason = misfit(line.waiting[job_id].needs, line.sizes)
        if reason:
            return QueuePosition(reason=reason)
        if not line.is_current and self._clock() >= line.good_until:
            self._work_out(line)
        position = line.positions.get(job_id)
        if position is None:  # it came after the order was worked out
            position = len(line.positions) + 1
        return QueuePosition(position, self._start(line, position))

    def next_start(self, kind: str) -> datetime | None:
        """When a job of the kind would start that came now and waited behind all others.

        UTC, without a zone; None while too little is known.
        """
        line = self._lines[kind]
        return self._start(line, len(line.waiting) + 1)

    def worker_sizes(self, kind: str) -> frozenset[MachineSize]:
        """Of the workers that were seen with jobs of a kind."""
        return frozenset(self._lines[kind].sizes)

    def waiting_of(self, tenant: str) -> int:
        """How many jobs of the tenant's wait, of all kinds."""
        return self._waiting_of[tenant]

    def _work_out(self, line: _Line) -> None:
        began = self._clock()
        running = Counter(each.job.tenant for each in line.working.values())
        able = (job for job in line.waiting.values() if not misfit(job.needs, line.sizes))
        order = fair_order(able, running, line.served)
        line.positions = {job.job_id: place for place, job in enumerate(order, 1)}
        line.is_current = True
        ended = self._clock()
        slow = ended - began > SLOW_SECONDS
        line.good_until = ended + REST_FACTOR * (ended - began) * slow

    def _start(self, line: _Line, position: int) -> datetime | None:
        """When as many workers as work now will have got so far, each next job taking the median.

        What is in work ends when it says; one that says nothing takes as long as those of the last
        ones that took longer than it has. Of one that outlasts them all nobody knows the end.
        """
        if not line.working:
            return None
        now = self._now()
        lefts = [self._left(each, line.took, now) for each in line.working.values()]
        rounds, which = divmod(position - 1, len(lefts))
        left = sorted(inf if each is None else each for each in lefts)[which]
        if left == inf or (rounds and len(line.took) < ENOUGH):
            return None
        return now + timedelta(seconds=left + (rounds and rounds * median(line.took)))

    def _left(self, working: _Working, took: Collection[float], now: datetime) -> float | None:
        """Seconds until it ends; None where nothing says so. Never nought: it is still in work."""
        left = working.job.told_left(now)
        if left is not None:
            return left
        so_far = (now - working.began).total_seconds()
        longer = [each for each in took if each > so_far]
        return median(longer) - so_far if len(took) >= ENOUGH and longer else None
