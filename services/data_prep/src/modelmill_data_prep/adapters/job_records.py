"""Jobs on the bus, as far as their failures are told."""

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JobError, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_state


class JobRecords:
    """The newest states of jobs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def failure(self, tenant: str, job_id: str) -> JobError | None:
        """Why a job of the tenant's failed; None for one that did not.

        Raises:
            UnavailableError: The bus does not answer.
        """
        stored = await self._bus.last(job_state(job_id), JobState)
        if stored is None or stored.body.tenant != tenant:
            return None
        return stored.body.error if stored.body.status == JOB_STATUS_FAILED else None
