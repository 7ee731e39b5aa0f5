"""Tell what happens to a job, from its beginning or from after an event, until it has ended."""

from collections.abc import AsyncIterator
from typing import Protocol

from jobs.ledger import JobEvent

from gateway.domain.access import Caller


class Watcher(Protocol):
    """See `jobs.watching.JobWatcher`."""

    def watch(self, tenant: str, job_id: str, after: str | None) -> AsyncIterator[JobEvent]: ...


class WatchJob:
    """However many watch, the bus is followed once."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def __call__(self, caller: Caller, job_id: str, after: str | None) -> AsyncIterator[JobEvent]:
        """Events of the job, oldest first; the last one is that it has ended.

        Args:
            after: id of the last event that the caller has seen; None begins at the beginning.

        Raises:
            NotFoundError: no such job, or another tenant's; on the first step, as all that follow.
            InvalidInputError: `after` is no event of the job.
            UnavailableError: the job or event is not known here, and the bus does not answer.
        """
        return self._watcher.watch(caller.tenant, job_id, after)
