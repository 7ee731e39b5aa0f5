"""How long a job was worked on, read off the states that its workers wrote.

Nothing is counted anywhere: the states are in the stream, so that the figure is the same in every
process and after every restart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JobProgress, JobState

from modelmill_job_index.history import JobEvent


@dataclass
class _Claim:
    fence: int
    began: datetime
    heard: datetime
    """When it last saved something."""

    def seconds_until(self, end: datetime) -> float:
        """Clocks of two machines may differ; nothing takes less than no time."""
        return max(0.0, (end - self.began).total_seconds())


def work_seconds(states: Iterable[JobEvent], progress: JobProgress | None = None) -> float:
    """Seconds from claim to end, over all claims.

    A claim that ended without a word counts up to what it saved last, for what it did then is lost;
    the one in force up to its last report.

    Args:
        states: all of the job's, in the order of their stream.
        progress: the last report of the claim in force.
    """
    total, held = 0.0, None
    for event in states:
        state = event.body
        assert isinstance(state, JobState), "a state carries one"
        running = state.status == JOB_STATUS_RUNNING
        if held is not None and running and held.fence == state.fence:
            held.heard = event.at
            continue
        if held is not None:
            total += held.seconds_until(held.heard if running else event.at)
        held = _Claim(state.fence, event.at, event.at) if running else None
    if held is None:
        return total
    reported = held.heard
    if progress is not None and progress.fence == held.fence:
        reported = max(reported, progress.at.ToDatetime())
    return total + held.seconds_until(reported)
