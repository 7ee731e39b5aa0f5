"""Other jobs, as the bus knows them."""

from modelmill.jobs.v1.job_pb2 import JobRequested, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_requested, job_state


class JobRecords:
    """Reads the last message of a subject, from the stream's leader: never behind."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def is_known(self, *, tenant: str, kind: str, job_id: str) -> bool:
        """Whether such a job was accepted.

        Raises:
            InvalidInputError: the id is not one.
            UnavailableError: the bus does not answer.
        """
        subject = job_requested(kind, tenant, job_id)
        return await self._bus.last(subject, JobRequested) is not None

    async def state(self, job_id: str) -> JobState | None:
        """Where a job stands; None before its first claim.

        Raises:
            UnavailableError: the bus does not answer.
        """
        stored = await self._bus.last(job_state(job_id), JobState)
        return stored.body if stored is not None else None
