"""What must have come true once nothing goes wrong any more."""

from collections.abc import Iterator

from modelmill.jobs.v1 import job_pb2 as pb

from tests.machine.book import CANCELLED, FAILED, PAUSED, SUCCEEDED, JobRecord
from tests.machine.world import World

ENDED = {SUCCEEDED, FAILED}
FULFILS = {
    pb.JOB_DESIRED_STATE_RUN: ENDED,
    pb.JOB_DESIRED_STATE_PAUSE: {PAUSED, *ENDED},
    pb.JOB_DESIRED_STATE_CANCEL: {CANCELLED, *ENDED},
}
"""A desired state that was answered comes true unless the job ended first."""


def unkept(world: World) -> list[str]:
    """Promises that do not hold yet; each in words."""
    missing = [f"{job_id} is lost" for job_id in world.accepted if job_id not in world.book.jobs]
    for job in world.book.jobs.values():
        missing += _of_job(world, job)
    if left := world.unsettled_deliveries():
        missing.append(f"{left} deliveries are not acknowledged")
    return missing


def _of_job(world: World, job: JobRecord) -> Iterator[str]:
    status = job.last.status
    words = f"{job.job_id} is {pb.JobStatus.Name(status)}"
    if not job.requests:
        yield f"{job.job_id} was never requested"
        return
    if _was_answered(world, job):
        if status not in FULFILS[job.desired_state]:
            yield f"{words}, although {pb.JobDesiredState.Name(job.desired_state)} was promised"
    elif status not in {*ENDED, PAUSED, CANCELLED}:
        yield f"{words} and stays so"
    if status == FAILED and job.resumes and job.resumes[-1][0] > job.states[-1][0]:
        yield f"{words} and was resumed since"
    if (status == SUCCEEDED) != (len(job.announced) == 1):
        yield f"{words} and was announced {len(job.announced)} times"


def _was_answered(world: World, job: JobRecord) -> bool:
    """Whether somebody was told of the desired state in force, or nobody asked for any."""
    return not job.control_signals or any(
        answer.job_id == job.job_id
        and answer.desired_state == job.desired_state
        and not answer.refused
        and answer.at_request == len(job.control_signals)
        for answer in world.answers
    )
