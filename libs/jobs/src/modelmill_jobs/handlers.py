"""What a worker is given to work with."""

import logging
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult

from modelmill_jobs.active import ActiveJob

log = logging.getLogger(__name__)


class JobHandler(Protocol):
    """Work of one kind."""

    kind: str

    async def is_ready(self, request: JobRequested) -> bool:
        """False leaves the job queued; it is offered again a second later."""

    async def __call__(self, job: ActiveJob) -> JobResult:
        """Do the work.

        Raises:
            JobFailed: it cannot succeed. Any other exception counts as a failure and the job is
                tried again, up to the limit.
        """


async def is_ready(handler: JobHandler, request: JobRequested) -> bool:
    """Whether the job can be begun; one of which that cannot be told is begun."""
    try:
        return await handler.is_ready(request)
    except Exception:
        # Whatever it stumbled over, the handler meets it too, where it is counted and told.
        log.exception("cannot tell whether %s is ready", request.job_id)
        return True
