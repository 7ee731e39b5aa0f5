"""Keep back the success of a job until what it made can be found.

The success and the announcement of what was made are messages of two streams, which a process reads
at two paces, and between the writes of the two a worker may die. Whoever reads "succeeded" uses the
model: a job has therefore ended for its readers only once its announcement is known to them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult, JobState
from modelmill_bus.envelope import Stored


class Announcements(Protocol):
    """What jobs made, as far as it can be found here."""

    def has(self, result: JobResult) -> bool:
        """Whether it was announced."""

    async def until(self, result: JobResult) -> None:
        """Return once it was."""


class HeldJobs:
    """Messages of jobs whose success is kept back, and of these jobs whatever came after it."""

    def __init__(self) -> None:
        self._held: dict[str, list[Stored[Any]]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, stored: Stored[Any]) -> bool:
        """Take the message if its job is kept back already."""
        held = self._held.get(stored.body.job_id)
        if held is not None:
            held.append(stored)
        return held is not None

    def hold(self, stored: Stored[Any]) -> None:
        """Keep back a job from this message on."""
        self._held[stored.body.job_id] = [stored]

    def release(self, job_id: str) -> Sequence[Stored[Any]]:
        """What was kept back of the job, in order."""
        return self._held.pop(job_id)


def announced_by(stored: Stored[Any]) -> JobResult | None:
    """The result whose announcement a message promises; None when it promises none."""
    body = stored.body
    if not isinstance(body, JobState) or body.status != JOB_STATUS_SUCCEEDED:
        return None
    return body.result if body.result.announce_subject else None
