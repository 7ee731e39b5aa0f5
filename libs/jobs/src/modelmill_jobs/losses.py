"""The end of a job that took too many workers with it."""

from modelmill.jobs.v1.job_pb2 import JobResult

from modelmill_jobs.active import ActiveJob
from modelmill_jobs.attempt import Handler
from modelmill_jobs.errors import JobFailed


def unless_lost(handler: Handler, lost: int, max_lost: int) -> Handler:
    """The handler, or one that says why the job is given up.

    Args:
        lost: claims of the job that ended without a word.
    """
    if lost <= max_lost:
        return handler

    async def refuse(_job: ActiveJob) -> JobResult:
        raise JobFailed(
            "WORKER_LOST",
            f"{lost} workers ended without a word while working on it",
            "It probably needs more memory than the workers have.",
        )

    return refuse
