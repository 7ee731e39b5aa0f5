"""Jobs as bytes: how a snapshot holds them, and how those at rest are held in memory."""

import sys
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_RUN, JobState, JobStatus
from modelmill.jobs.v1.snapshot_pb2 import PackedJob, PackedJobDetail, PackedJobEvent

from modelmill_job_index.entry import AGAIN, Entry, again_event, state_event
from modelmill_job_index.history import JobHistory

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
