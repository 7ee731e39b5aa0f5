"""A job that its owner has accepted, which our own list may not know yet."""

from dataclasses import dataclass

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from jobs.ledger import JobRecord
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED, JobRequested, JobState


@dataclass(frozen=True)
class AcceptedJob:
    """A job to come. `sequence` is that of its request in the JOBS stream."""

    job_id: str
    sequence: int


def just_accepted(job_id: str, kind: str, tenant: str, spec: Message) -> JobRecord:
    """What the list of jobs will say, for the moment in which it is behind."""
    requested = JobRequested(job_id=job_id, kind=kind, tenant=tenant)
    requested.spec.update(MessageToDict(spec, preserving_proto_field_name=True))
    requested.requested_at.GetCurrentTime()
    state = JobState(job_id=job_id, kind=kind, tenant=tenant, status=JOB_STATUS_QUEUED)
    return JobRecord(requested=requested, state=state, progress=None, events=())
