"""Cancel, pause or resume a job: its owner records the wish, its worker acts on it."""

from collections.abc import Mapping
from typing import Protocol

from jobs.ledger import JobRecord
from modelmill.jobs.v1.job_pb2 import JobWish
from service_kit.errors import PreconditionError

from gateway.domain.access import Caller
from gateway.own_writes import CatchesUp, until_seen


class SteersJobs(Protocol):
    """The service that owns jobs of one kind; see `modelmill.jobs.v1.JobService`."""

    async def control(
        self, *, tenant: str, job_id: str, wish: JobWish.ValueType, requested_by: str
    ) -> int:
        """Record the wish; gives its sequence in the JOBS stream."""


class Jobs(CatchesUp, Protocol):
    """The list of jobs."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...


class ControlJob:
    """One way to steer jobs of every kind.

    Args:
        owners: who owns the jobs of each kind.
    """

    def __init__(self, owners: Mapping[str, SteersJobs], jobs: Jobs) -> None:
        self._owners = owners
        self._jobs = jobs

    async def __call__(self, job_id: str, wish: JobWish.ValueType, caller: Caller) -> JobRecord:
        """Wish it under the caller's name; the job's state follows when its worker has acted.

        Args:
            wish: RUN resumes a paused job and runs a failed or cancelled one again.

        Returns:
            The job with its new wish.

        Raises:
            NotFoundError: no such job, or another tenant's.
            PreconditionError: the job has ended so that the wish cannot come true, or jobs of its
                kind cannot be steered.
            UnavailableError: the owner or the bus does not answer; nothing was recorded.
        """
        kind = self._jobs.get(caller.tenant, job_id).requested.kind
        owner = self._owners.get(kind)
        if owner is None:
            raise PreconditionError(f"jobs of kind {kind} cannot be cancelled, paused or resumed")
        sequence = await owner.control(
            tenant=caller.tenant, job_id=job_id, wish=wish, requested_by=caller.subject
        )
        await until_seen(self._jobs, sequence)
        return self._jobs.get(caller.tenant, job_id)
