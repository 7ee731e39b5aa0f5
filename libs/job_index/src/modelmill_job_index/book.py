"""Jobs by id. Ended ones are packed, so that a hundred thousand fit in memory."""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Any, overload
from weakref import WeakValueDictionary

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobProgress,
    JobState,
    JobStatus,
)
from modelmill.jobs.v1.snapshot_pb2 import PackedJob, PackedJobDetail, PackedJobEvent
from modelmill_bus.envelope import Stored
from modelmill_jobs.job_status import TERMINAL

from modelmill_job_index.entry import AGAIN, Entry, JobRecord, again_event, state_event
from modelmill_job_index.history import JobHistory
from modelmill_job_index.metric_series import MetricStore
from modelmill_job_index.queue_order import RECENT, QueueOrder

VERSION = 2
"""Of what `Rest.packed` holds; raise it when an older program would misread it."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A packed job: about a kilobyte, of which nothing is parsed until somebody looks."""

    applied: int
    kind: str
    tenant: str
    status: JobStatus.ValueType
    since: Timestamp
    requested_sequence: int
    claimed_sequence: int
    packed: bytes
    """A PackedJob."""

    @classmethod
    def of(cls, packed: bytes) -> tuple[str, "Rest"]:
        """The job's id, and its rest.

        Raises:
            google.protobuf.message.DecodeError: these are no PackedJob's bytes.
        """
        job = PackedJob.FromString(packed)
        # Few kinds and tenants, many jobs: each word is held once.
        kind, tenant = sys.intern(job.kind), sys.intern(job.tenant)
        since = Timestamp(seconds=job.since.seconds, nanos=job.since.nanos)
        rest = cls(
            job.applied,
            kind,
            tenant,
            job.status,
            since,
            job.requested_sequence,
            job.claimed_sequence,
            bytes(packed),
        )
        return job.job_id, rest


def pack(job_id: str, entry: Entry) -> bytes:
    """All of a job but its figures, which PROGRESS has: the same bytes for the same messages."""
    detail = PackedJobDetail(
        requested=entry.requested,
        desired_state=entry.control,
        resumed=entry.resumed,
        resumed_sequence=entry.resumed_sequence,
    )
    for event in entry.history.states:
        assert isinstance(event.body, JobState), "a state carries one"
        packed = PackedJobEvent(sequence=event.sequence, state=event.body)
        if event.message == AGAIN:
            packed.resumed_at.FromDatetime(event.at)
        detail.events.append(packed)
    job = PackedJob(
        job_id=job_id,
        applied=entry.applied,
        kind=entry.kind,
        tenant=entry.tenant,
        status=entry.status,
        since=entry.since,
        requested_sequence=entry.requested_sequence,
        claimed_sequence=entry.claimed_sequence,
        detail=detail.SerializeToString(deterministic=True),
    )
    return bytes(job.SerializeToString(deterministic=True))


def unpack(packed: bytes, history: JobHistory | None = None) -> Entry:
    """The job again.

    Args:
        history: of this job, complete, when a watcher still holds it: it must hear what comes.
    """
    job = PackedJob.FromString(packed)
    detail = PackedJobDetail.FromString(job.detail)
    entry = Entry(
        applied=job.applied,
        requested=detail.requested if detail.HasField("requested") else None,
        requested_sequence=job.requested_sequence,
        control=detail.desired_state or JOB_DESIRED_STATE_RUN,
        resumed=detail.resumed if detail.HasField("resumed") else None,
        resumed_sequence=detail.resumed_sequence,
        claimed_sequence=job.claimed_sequence,
        history=history or JobHistory(),
    )
    for event in detail.events:
        if event.HasField("resumed_at"):
            told = again_event(event.sequence, event.state, event.resumed_at)
        else:
            told = state_event(event.sequence, event.state)
            entry.state, entry.state_sequence = event.state, event.sequence
        if event.sequence == entry.claimed_sequence:
            entry.claimed_at = event.state.updated_at.ToDatetime()
        if history is None:
            entry.history.add(told)
    return entry


FIGURES_SECONDS = 3600.0
"""How long after its end a job's figures are held; PROGRESS holds them no longer either."""
SLICE = 50
"""Jobs that are packed before others get their turn."""


class JobBook:
    """Jobs that move are entries; one that has ended is packed at the next look at all of them.

    Args:
        now: seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._held: dict[str, Entry | Rest] = {}
        # A watcher may outlast the packing: whoever unpacks the job must find its history.
        self._histories: WeakValueDictionary[str, JobHistory] = WeakValueDictionary()
        self._now = now
        self.queue = QueueOrder()
        """When those that wait will start."""
        self.metrics = MetricStore()
        """What jobs that are not packed have measured."""

    def __len__(self) -> int:
        return len(self._held)

    def put(self, packed: Iterable[bytes]) -> None:
        """Take in jobs that `packed` gave: all of them or none.

        Raises:
            google.protobuf.message.DecodeError: one of these is no job.
        """
        rests = [Rest.of(each) for each in packed]
        self._held.update(rests)
        self._line_up()

    def take(self, stored: Stored[Any]) -> None:
        """Take in a message of JOBS; one that is in here already changes nothing."""
        job_id = stored.body.job_id
        held = self._held.get(job_id)
        if held is None or stored.sequence > held.applied:
            entry = self.open(job_id)
            entry.take(stored)
            if entry.requested is not None:
                self.queue.see(job_id, entry)

    def take_progress(self, stored: Stored[JobProgress]) -> None:
        """Take in a message of PROGRESS."""
        if self.open(stored.body.job_id).take_progress(stored):
            self.metrics.add(stored.body)

    def seen(self, job_id: str) -> Entry | Rest | None:
        """What a list or a count asks for, of one job."""
        return self._held.get(job_id)

    def items(self) -> list[tuple[str, Entry | Rest]]:
        """The same of every job, by id; safe to call in another thread."""
        return [*self._held.items()]

    def look(self, job_id: str) -> Entry:
        """One job to be read; it stays packed if it is.

        Raises:
            KeyError: nothing was read of it.
        """
        held = self._held[job_id]
        return self._unpacked(job_id, held) if isinstance(held, Rest) else held

    def record(self, job_id: str) -> JobRecord:
        """One job as its readers see it.

        Raises:
            KeyError: nothing was read of it.
        """
        entry = self.look(job_id)
        return replace(entry.record(), turn=self.queue.turn(entry.kind, job_id))

    def open(self, job_id: str) -> Entry:
        """One job to be changed."""
        held = self._held.get(job_id)
        if not isinstance(held, Entry):
            held = Entry() if held is None else self._unpacked(job_id, held)
            self._held[job_id] = held
            self._histories[job_id] = held.history
        return held

    async def packed(self) -> AsyncIterator[bytes]:
        """Every job as bytes, a few at a time: what happens meanwhile is in those that follow."""
        for number, job_id in enumerate([*self._held]):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            held = self._held[job_id]
            if isinstance(held, Rest):
                yield held.packed
                continue
            packed = pack(job_id, held)
            if self._is_at_rest(held):
                self._held[job_id] = Rest.of(packed)[1]
                self.metrics.forget(job_id)
            yield packed

    def forget(self, tenant: str) -> None:
        """Let go of all jobs of a tenant, which have ended."""
        for job_id in [job_id for job_id, held in self.items() if held.tenant == tenant]:
            del self._held[job_id]
            self.metrics.forget(job_id)

    def _line_up(self) -> None:
        """Tell the queue of all jobs; of those that ended it hears little."""
        ended: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for job_id, held in self._held.items():
            if held.status in TERMINAL:
                self.queue.serve(held.kind, held.tenant, held.claimed_sequence)
                if held.status == JOB_STATUS_SUCCEEDED:
                    ended[held.kind].append((held.applied, job_id))
            elif held.requested_sequence:
                # One in work is asked for the time that it has left, and so must be the one that
                # hears of its progress.
                in_work = held.status == JOB_STATUS_RUNNING
                self.queue.see(job_id, self.open(job_id) if in_work else self.look(job_id))
        for kind, jobs in ended.items():
            for _, job_id in reversed(nlargest(RECENT, jobs)):
                entry = self.look(job_id)
                self.queue.recall(kind, entry.work_seconds(), entry.worker_size)

    def _unpacked(self, job_id: str, rest: Rest) -> Entry:
        entry = unpack(rest.packed, self._histories.get(job_id))
        self._histories[job_id] = entry.history
        return entry

    def _is_at_rest(self, entry: Entry) -> bool:
        if entry.status not in TERMINAL or entry.requested is None:
            return False
        over = self._now() - entry.since.seconds > FIGURES_SECONDS
        return over or (entry.progress is None and not entry.history.has_figures)


class JobListing(Sequence[JobRecord]):
    """Some jobs of a book in an order; each is read when it is asked for."""

    def __init__(self, book: JobBook, job_ids: Sequence[str]) -> None:
        self._book = book
        self._job_ids = job_ids

    def __len__(self) -> int:
        return len(self._job_ids)

    def __iter__(self) -> Iterator[JobRecord]:
        return map(self._record, self._job_ids)

    @overload
    def __getitem__(self, index: int) -> JobRecord: ...

    @overload
    def __getitem__(self, index: slice) -> "JobListing": ...

    def __getitem__(self, index: int | slice) -> "JobRecord | JobListing":
        if isinstance(index, slice):
            return JobListing(self._book, self._job_ids[index])
        return self._record(self._job_ids[index])

    def _record(self, job_id: str) -> JobRecord:
        return self._book.record(job_id)
