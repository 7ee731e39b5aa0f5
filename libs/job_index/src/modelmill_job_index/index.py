"""The read model of jobs: what was asked, where it stands, what happened."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JOB_STATUS_UNSPECIFIED,
    JobProgress,
    JobResult,
    JobState,
    JobStatus,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import Watermark
from modelmill_bus.subjects import job_progress
from modelmill_jobs.job_status import TERMINAL, status_word
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, UnavailableError
from modelmill_service_kit.machine_size import MachineSize
from modelmill_service_kit.nearest import no_such
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelmill_job_index.book import JobBook, JobListing
from modelmill_job_index.entry import Entry, HeldJob, JobRecord
from modelmill_job_index.history import EVENT_ID, STATE, Cursor, JobEvent, JobHistory
from modelmill_job_index.metric_series import MetricKey, MetricSeries
from modelmill_job_index.snapshots import Snapshots


class Announcements(Protocol):
    """What jobs made, as far as it can be found here."""

    def has(self, result: JobResult) -> bool:
        """Whether it was announced."""

    async def until(self, result: JobResult) -> None:
        """Return once it was."""


class HeldJobs:
    """Messages of jobs whose success is kept back, and of these jobs whatever came after it.

    The success and the announcement of what was made are messages of two streams, which a process
    reads at two paces, and between the writes of the two a worker may die. Whoever reads
    "succeeded" uses the model: a job has therefore ended for its readers only once its announcement
    is known to them.
    """

    def __init__(self) -> None:
        self._held: dict[str, list[Stored[Any]]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, stored: Stored[Any]) -> bool:
        """Take the message if its job is kept back already."""
        held = self._held.get(stored.body.job_id)
        if held is not None:
            held.append(stored)
        return held is not None

    def hold(self, stored: Stored[Any]) -> None:
        """Keep back a job from this message on."""
        self._held[stored.body.job_id] = [stored]

    def release(self, job_id: str) -> Sequence[Stored[Any]]:
        """What was kept back of the job, in order."""
        return self._held.pop(job_id)


def announced_by(stored: Stored[Any]) -> JobResult | None:
    """The result whose announcement a message promises; None when it promises none."""
    body = stored.body
    if not isinstance(body, JobState) or body.status != JOB_STATUS_SUCCEEDED:
        return None
    return body.result if body.result.announce_subject else None


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

    def metrics(self, tenant: str, job_id: str) -> Mapping[MetricKey, MetricSeries]:
        """What one job has reported, as long as its events are held.

        Raises:
            NotFoundError: no such job, or another tenant's.
        """
        self._find(tenant, job_id)
        return self._book.metrics.of(job_id)

    def has_ended(self, job_id: str) -> bool:
        """Whether nothing more happens to the job, unless somebody asks for it."""
        seen = self._book.seen(job_id)
        return seen is not None and seen.status in TERMINAL

    def list(
        self,
        tenant: str,
        kind: str | None = None,
        statuses: Container[JobStatus.ValueType] | None = None,
    ) -> Sequence[JobRecord]:
        """The tenant's jobs, of one kind and of some statuses when given, newest first."""
        mine = [
            (seen.requested_sequence, job_id)
            for job_id, seen in self._book.items()
            if seen.requested_sequence
            and seen.tenant == tenant
            and kind in (None, seen.kind)
            and (statuses is None or seen.status in statuses)
        ]
        mine.sort(reverse=True)
        return JobListing(self._book, [job_id for _, job_id in mine])

    def tenants(self) -> set[str]:
        """Owners of any."""
        return {seen.tenant for _, seen in self._book.items() if seen.tenant}

    def forget(self, tenant: str) -> None:
        """Let go of all jobs of a tenant that was deleted; snapshots have them no more."""
        self._book.forget(tenant)

    def waiting_of(self, tenant: str) -> int:
        """How many jobs of the tenant's wait for a worker."""
        return self._book.queue.waiting_of(tenant)

    def next_start(self, kind: str) -> datetime | None:
        """When a job that came now would start; see `QueueOrder.next_start`."""
        return self._book.queue.next_start(kind)

    def worker_sizes(self, kind: str) -> frozenset[MachineSize]:
        """Of the workers that were seen with jobs of a kind."""
        return self._book.queue.worker_sizes(kind)

    def standings(self) -> Iterator[Standing]:
        """Where every job stands; may be read in another thread than `run`'s."""
        for _, seen in self._book.items():
            if seen.requested_sequence:
                yield Standing(seen.kind, seen.status, seen.since)

    def held_jobs(self) -> Iterator[HeldJob]:
        """Who works on what, over all tenants."""
        for job_id, seen in self._book.items():
            held = seen.held(job_id) if isinstance(seen, Entry) else None
            if held is not None:
                yield held

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
            self._book.take_progress(stored)
            self._read_progress.move(stored.sequence)


STATUSES = tuple(each for each in JobStatus.values() if each != JOB_STATUS_UNSPECIFIED)


class JobGauges(Collector):
    """Counted from a ledger when somebody scrapes; register it once in a whole system.

    Args:
        now: seconds since 1970.
    """

    def __init__(self, job_index: JobIndex, now: Callable[[], float] = time.time) -> None:
        self._job_index = job_index
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing: being registered needs no count of all jobs."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """`modelmill_jobs` and `modelmill_job_queue_oldest_seconds`, for kinds that had a job."""
        jobs = GaugeMetricFamily(
            "modelmill_jobs", "Jobs, by where they stand.", labels=["kind", "status"]
        )
        oldest = GaugeMetricFamily(
            "modelmill_job_queue_oldest_seconds",
            "Seconds that the job which waits longest has waited; 0 when none does.",
            labels=["kind"],
        )
        counts: Counter[tuple[str, int]] = Counter()
        waiting: dict[str, float] = {}
        now = self._now()
        for standing in self._job_index.standings():
            counts[standing.kind, standing.status] += 1
            waited = 0.0
            if standing.status == JOB_STATUS_QUEUED:
                waited = max(0.0, now - standing.since.ToNanoseconds() / 1e9)
            waiting[standing.kind] = max(waiting.get(standing.kind, 0.0), waited)
        for kind, seconds in sorted(waiting.items()):
            oldest.add_metric([kind], seconds)
            for status in STATUSES:
                jobs.add_metric([kind, status_word(status)], counts[kind, status])
        return jobs, oldest


log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0
"""How long what another process has seen already may take to get here."""


class JobWatcher:
    """Streams events out of a ledger that is followed elsewhere.

    Any number of watchers read one ledger, which follows the bus once. A watcher keeps its place
    and nothing else, so a slow one costs no memory; figures that made way meanwhile are left out
    for it.
    """

    def __init__(self, bus: Bus, job_index: JobIndex) -> None:
        self._bus = bus
        self._job_index = job_index

    async def watch(self, tenant: str, job_id: str, after: str | None) -> AsyncIterator[JobEvent]:
        """Events behind `after` in order, each once, as they come; the last is that it has ended.

        A job that was resumed has not ended. What happens after the end is told to whoever asks
        once it runs again.

        Args:
            after: id of an event that any process gave out; None or empty begins at the beginning.

        Raises:
            NotFoundError: no such job, or another tenant's.
            InvalidInputError: `after` is no event of this job.
            UnavailableError: the job or event is not known here, and the broker does not answer.
        """
        history = await self._history(tenant, job_id)
        place = await self._place(job_id, history, after)
        complete_until = 0
        while True:
            news, ended = history.news, self._job_index.has_ended(job_id)
            if ended and place.state >= history.last_state:
                return
            event = history.next_after(place)
            if event is None:
                await news.wait()
                continue
            if ended and event.type == STATE and event.sequence == history.last_state:
                if complete_until != event.sequence:
                    await self._catch_up_figures(job_id)
                    complete_until = event.sequence
                    continue
                event = history.next_figures(place) or event
            place = place.past(event)
            yield place.numbered(event)

    async def _history(self, tenant: str, job_id: str) -> JobHistory:
        try:
            return self._job_index.history(tenant, job_id)
        except NotFoundError:
            await self._catch_up_jobs()
            return self._job_index.history(tenant, job_id)

    async def _place(self, job_id: str, history: JobHistory, after: str | None) -> Cursor:
        if not after:
            return Cursor()
        try:
            return history.place_of(after, last_progress=self._job_index.progress_sequence)
        except InvalidInputError:
            if EVENT_ID.fullmatch(after) is None:
                raise
        await self._catch_up_jobs()
        await self._catch_up_figures(job_id)
        newest = await self._bus.last_sequence("PROGRESS")
        return history.place_of(after, last_progress=newest)

    async def _catch_up_jobs(self) -> None:
        newest = await self._bus.last_sequence("JOBS")
        await self._job_index.wait_for(newest, CATCH_UP_SECONDS)

    async def _catch_up_figures(self, job_id: str) -> None:
        """Read what was reported before now: it was written before the end was."""
        try:
            newest = await self._bus.last(job_progress(job_id), JobProgress)
            if newest is not None:
                await self._job_index.wait_for_progress(newest.sequence, CATCH_UP_SECONDS)
        except UnavailableError as error:
            # The end is known; figures may be lost.
            log.warning("the last figures of job %s may be missing: %s", job_id, error)
