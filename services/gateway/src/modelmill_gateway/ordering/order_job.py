"""Order a job of whoever owns its kind, in the caller's name, and answer once it is listed here."""

from typing import Protocol, TypeVar

from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill_bus.read_model import CatchesUp, until_seen
from modelmill_job_index.index import JobRecord

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.accepted_job import AcceptedJob, accepted_record
from modelmill_gateway.ordering.pending_job_quota import PendingJobQuota

SpecT = TypeVar("SpecT", bound=Message)
SpecT_contra = TypeVar("SpecT_contra", bound=Message, contravariant=True)


class Owner(Protocol[SpecT_contra]):
    """Takes orders for jobs of one kind; its refusals are domain errors."""

    async def create(
        self,
        spec: SpecT_contra,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedJob: ...


class Jobs(CatchesUp, Protocol):
    """The list of jobs."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...


class OrderJob:
    """The road that orders of any kind take."""

    def __init__(self, jobs: Jobs, room: PendingJobQuota) -> None:
        self._jobs = jobs
        self._room = room

    async def __call__(
        self,
        owner: Owner[SpecT],
        spec: SpecT,
        *,
        kind: str,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> JobRecord:
        """Order it.

        Raises:
            AlreadyExistsError: the key was used for another spec.
            OverloadedError: too many jobs of the tenant's wait.
            UnavailableError: the owner or the bus does not answer; nothing was accepted.
        """
        with self._room.place(caller.tenant, kind, idempotency_key):
            accepted = await owner.create(
                spec,
                tenant=caller.tenant,
                requested_by=caller.subject,
                idempotency_key=idempotency_key,
                priority=priority,
            )
            await until_seen(self._jobs, accepted.sequence)
        return accepted_record(
            self._jobs, accepted.job_id, kind=kind, tenant=caller.tenant, spec=spec
        )
