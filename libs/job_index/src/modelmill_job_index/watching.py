"""Telling somebody what happens to a job, from any event on, until it has ended.

Any number of watchers read one ledger, which follows the bus once. A watcher keeps its place and
nothing else, so a slow one costs no memory; figures that made way meanwhile are left out for it.
"""

import logging
from collections.abc import AsyncIterator

from modelmill.jobs.v1.job_pb2 import JobProgress
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_progress
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, UnavailableError

from modelmill_job_index.history import EVENT_ID, STATE, Cursor, JobEvent, JobHistory
from modelmill_job_index.index import JobIndex

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0
"""How long what another process has seen already may take to get here."""


class JobWatcher:
    """Streams events out of a ledger that is followed elsewhere."""

    def __init__(self, bus: Bus, job_index: JobIndex) -> None:
        self._bus = bus
        self._job_index = job_index

    async def watch(self, tenant: str, job_id: str, after: str | None) -> AsyncIterator[JobEvent]:
        """Events behind `after` in order, each once, as they come; the last is that it has ended.

        A job that was resumed has not ended. What happens after the end is told to whoever asks
        once it runs again.

        Args:
            after: id of an event that any process gave out; None or empty begins at the beginning.

        Raises:
            NotFoundError: no such job, or another tenant's.
            InvalidInputError: `after` is no event of this job.
            UnavailableError: the job or event is not known here, and the broker does not answer.
        """
        history = await self._history(tenant, job_id)
        place = await self._place(job_id, history, after)
        complete_until = 0
        while True:
            news, ended = history.news, self._job_index.has_ended(job_id)
            if ended and place.state >= history.last_state:
                return
            event = history.next_after(place)
            if event is None:
                await news.wait()
                continue
            if ended and event.type == STATE and event.sequence == history.last_state:
                if complete_until != event.sequence:
                    await self._catch_up_figures(job_id)
                    complete_until = event.sequence
                    continue
                event = history.next_figures(place) or event
            place = place.past(event)
            yield place.numbered(event)

    async def _history(self, tenant: str, job_id: str) -> JobHistory:
        try:
            return self._job_index.history(tenant, job_id)
        except NotFoundError:
            await self._catch_up_jobs()
            return self._job_index.history(tenant, job_id)

    async def _place(self, job_id: str, history: JobHistory, after: str | None) -> Cursor:
        if not after:
            return Cursor()
        try:
            return history.place_of(after, last_progress=self._job_index.progress_sequence)
        except InvalidInputError:
            if EVENT_ID.fullmatch(after) is None:
                raise
        await self._catch_up_jobs()
        await self._catch_up_figures(job_id)
        newest = await self._bus.last_sequence("PROGRESS")
        return history.place_of(after, last_progress=newest)

    async def _catch_up_jobs(self) -> None:
        newest = await self._bus.last_sequence("JOBS")
        await self._job_index.wait_for(newest, CATCH_UP_SECONDS)

    async def _catch_up_figures(self, job_id: str) -> None:
        """Read what was reported before now: it was written before the end was."""
        try:
            newest = await self._bus.last(job_progress(job_id), JobProgress)
            if newest is not None:
                await self._job_index.wait_for_progress(newest.sequence, CATCH_UP_SECONDS)
        except UnavailableError as error:
            # The end is known; figures may be lost.
            log.warning("the last figures of job %s may be missing: %s", job_id, error)
