"""The read model of jobs: what was asked, where it stands, what happened."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import JobStatus
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import Watermark
from modelmill_jobs.job_status import TERMINAL
from modelmill_service_kit.nearest import no_such

from modelmill_job_index.book import JobBook, JobListing
from modelmill_job_index.entry import Entry, JobRecord
from modelmill_job_index.history import JobEvent, JobHistory
from modelmill_job_index.holding import Announcements, HeldJobs, announced_by
from modelmill_job_index.snapshots import Snapshots

__all__ = ["JobEvent", "JobIndex", "JobRecord"]

JOB_FILTERS = ("job.requested.>", "job.resumed.>", "job.control.*", "job.state.*")


@dataclass(frozen=True)
class Standing:
    """Where one job stands, for counting."""

    kind: str
    status: JobStatus.ValueType
    since: Timestamp
    """When it was requested, written or resumed last."""


class JobIndex:
    """Follows JOBS and PROGRESS for as long as `run` runs.

    Args:
        snapshots: where to go on from at the start, and what to keep; None reads from the
            beginning and keeps nothing.
        announcements: what jobs made; until that can be found, a job has not succeeded for those
            who read here. None believes every success at once.
    """

    def __init__(
        self,
        bus: Bus,
        snapshots: Snapshots | None = None,
        *,
        announcements: Announcements | None = None,
    ) -> None:
        self._bus = bus
        self._snapshots = snapshots
        self._announcements = announcements
        self._held = HeldJobs()
        self._book = JobBook()
        self._read = Watermark()
        self._complete = Watermark()
        """Up to which the book has every message: nothing is held from before."""
        self._read_progress = Watermark()
        self.ready = asyncio.Event()
        """Set once everything that was stored before `run` has been read."""

    async def run(self) -> None:
        """Read for ever; run it as a task beside the server."""
        if self._snapshots is not None:
            self._read.move(await self._snapshots.restore(self._book))
            self._complete.move(self._read.value)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_jobs(tasks))
            tasks.create_task(self._follow_progress())
            if self._snapshots is not None:
                tasks.create_task(self._snapshots.keep(self._book, self._complete, self.ready))

    @property
    def book(self) -> JobBook:
        """Every job, for whoever compares two ledgers."""
        return self._book

    @property
    def sequence(self) -> int:
        """Of the newest message of JOBS that has been read."""
        return self._read.value

    @property
    def progress_sequence(self) -> int:
        """Of the newest message of PROGRESS that has been read."""
        return self._read_progress.value

    def get(self, tenant: str, job_id: str) -> JobRecord:
        """One job.

        Raises:
            NotFoundError: no such job, or another tenant's.
        """
        self._find(tenant, job_id)
        return self._book.record(job_id)

    def history(self, tenant: str, job_id: str) -> JobHistory:
        """What happened to one job, and will: it is added to as events come.

        Raises:
            NotFoundError: no such job, or another tenant's.
        """
        return self._find(tenant, job_id).history

    def has_ended(self, job_id: str) -> bool:
        """Whether nothing more happens to the job, unless somebody asks for it."""
        seen = self._book.seen(job_id)
        return seen is not None and seen.status in TERMINAL

    def list(self, tenant: str, kind: str | None = None) -> Sequence[JobRecord]:
        """The tenant's jobs, of one kind when given, newest first."""
        mine = [
            (seen.requested_sequence, job_id)
            for job_id, seen in self._book.items()
            if seen.requested_sequence and seen.tenant == tenant and kind in (None, seen.kind)
        ]
        mine.sort(reverse=True)
        return JobListing(self._book, [job_id for _, job_id in mine])

    def waiting_of(self, tenant: str) -> int:
        """How many jobs of the tenant's wait for a worker."""
        return self._book.queue.waiting_of(tenant)

    def standings(self) -> Iterator[Standing]:
        """Where every job stands; may be read in another thread than `run`'s."""
        for _, seen in self._book.items():
            if seen.requested_sequence:
                yield Standing(seen.kind, seen.status, seen.since)

    async def wait_for(self, sequence: int, timeout: float) -> None:
        """Return once everything up to `sequence` of JOBS has been read.

        Raises:
            UnavailableError: not within `timeout` seconds.
        """
        await self._read.reach(sequence, timeout)

    async def wait_for_progress(self, sequence: int, timeout: float) -> None:
        """Return once everything up to `sequence` of PROGRESS has been read.

        Raises:
            UnavailableError: not within `timeout` seconds.
        """
        await self._read_progress.reach(sequence, timeout)

    def _find(self, tenant: str, job_id: str) -> Entry:
        seen = self._book.seen(job_id)
        if seen is None or not seen.requested_sequence or seen.tenant != tenant:
            raise no_such("job", job_id, "/v1/jobs")
        return self._book.look(job_id)

    async def _follow_jobs(self, tasks: asyncio.TaskGroup) -> None:
        messages = self._bus.follow(JOB_FILTERS, after=self._read.value, on_current=self.ready.set)
        async for stored in messages:
            self._take(stored, tasks)
            self._moved_to(stored.sequence)

    def _take(self, stored: Stored[Any], tasks: asyncio.TaskGroup) -> None:
        if self._held.holds(stored):
            return
        result, announcements = announced_by(stored), self._announcements
        if result is None or announcements is None or announcements.has(result):
            self._book.take(stored)
            return
        self._held.hold(stored)
        tasks.create_task(self._release(stored.body.job_id, announcements.until(result)))

    async def _release(self, job_id: str, announced: Awaitable[None]) -> None:
        await announced
        for stored in self._held.release(job_id):
            self._book.take(stored)
        self._moved_to(self._read.value)

    def _moved_to(self, sequence: int) -> None:
        self._read.move(sequence)
        if not self._held:
            self._complete.move(sequence)

    async def _follow_progress(self) -> None:
        async for stored in self._bus.follow(["job.progress.*"]):
            self._book.open(stored.body.job_id).take_progress(stored)
            self._read_progress.move(stored.sequence)
