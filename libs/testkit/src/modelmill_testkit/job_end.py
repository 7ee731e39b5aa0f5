"""Waiting for the end of a job on the bus."""

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_state

from modelmill_testkit.waiting import eventually

OVER = (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLED)


async def job_end(bus: Bus, job_id: str, *, within: float) -> JobState:
    """The terminal state of a job, once what it made is announced.

    The announcement follows the success by a moment, in which nobody finds what was made.

    Raises:
        AssertionError: it did not end within `within` seconds.
    """

    async def state() -> JobState | None:
        stored = await bus.last(job_state(job_id), JobState)
        return stored.body if stored and stored.body.status in OVER else None

    ended = await eventually(state, within=within)
    assert ended is not None

    async def announced() -> bool:
        return any(
            [stored.msg_id == ended.result.version_id async for stored in bus.replay([subject])]
        )

    if subject := ended.result.announce_subject:
        await eventually(announced)
    return ended
