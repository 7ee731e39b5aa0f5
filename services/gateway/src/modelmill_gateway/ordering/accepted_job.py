"""A job that its owner has accepted, which our own list may not know yet."""

from dataclasses import dataclass
from typing import Protocol

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED, JobRequested, JobState
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import NotFoundError


@dataclass(frozen=True)
class AcceptedJob:
    """A job to come. `sequence` is that of its request in the JOBS stream."""

    job_id: str
    sequence: int


class Jobs(Protocol):
    """The list of jobs."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...


def accepted_record(jobs: Jobs, job_id: str, *, kind: str, tenant: str, spec: Message) -> JobRecord:
    """The job as the list has it, or as the list will, for the moment in which it is behind."""
    try:
        return jobs.get(tenant, job_id)
    except NotFoundError:
        return _just_accepted(job_id, kind, tenant, spec)


def _just_accepted(job_id: str, kind: str, tenant: str, spec: Message) -> JobRecord:
    requested = JobRequested(job_id=job_id, kind=kind, tenant=tenant)
    requested.spec.update(MessageToDict(spec, preserving_proto_field_name=True))
    requested.requested_at.GetCurrentTime()
    state = JobState(job_id=job_id, kind=kind, tenant=tenant, status=JOB_STATUS_QUEUED)
    return JobRecord(requested=requested, state=state, progress=None, events=())
