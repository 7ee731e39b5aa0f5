"""What the bus says of the job that makes a dataset."""

from jobs.bus import Bus
from jobs.subjects import job_state
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_CANCELLED, JOB_STATUS_FAILED, JobState


class BusDatasetJobs:
    """Reads the last state of a job."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def has_failed(self, job_id: str) -> bool:
        """Whether that job failed or was cancelled. Raises UnavailableError."""
        stored = await self._bus.last(job_state(job_id), JobState)
        return stored is not None and stored.body.status in (
            JOB_STATUS_FAILED,
            JOB_STATUS_CANCELLED,
        )
