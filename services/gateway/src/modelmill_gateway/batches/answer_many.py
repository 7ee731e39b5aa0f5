"""Answer many requests of one job: so many at a time as there is room for, whoever dies."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modelmill_jobs.active import ActiveJob
from modelmill_jobs.progress import HANDLER_SILENCE_SECONDS
from modelmill_service_kit.errors import UnauthenticatedError

from modelmill_gateway.batches.batch_journal import BatchJournal
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.metrics import BATCH_REQUESTS

LONGEST_PAUSE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.5


class BatchPace:
    """Congestion window of a batch (AIMD): a refusal halves it, a round of answers adds one.

    Args:
        most: requests in flight at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._refused = 0
        self._until = 0.0

    @property
    def allowed(self) -> int:
        """Requests that may be in flight now."""
        return max(1, int(self._allowed))

    def pause(self, now: float) -> float:
        """Seconds until the next request may go out."""
        return max(0.0, self._until - now)

    def answered(self) -> None:
        """There was room for a request."""
        self._refused = 0
        self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)

    def refused(self, now: float, retry_after: float) -> None:
        """There was none; what is in flight may hear the same, and counts once a pause."""
        if now < self._until:
            return
        self._refused += 1
        self._allowed = max(1.0, self._allowed / 2)
        own = min(FIRST_PAUSE_SECONDS * 2 ** min(self._refused - 1, 10), LONGEST_PAUSE_SECONDS)
        wanted = min(max(own, retry_after), LONGEST_PAUSE_SECONDS)
        # Replicas that were refused together must not come back together.
        self._until = now + wanted * random.uniform(1.0, 1.25)


NO_ROOM = (429, 503)
"""Answers that are none: the request waits for its turn."""
OUR_FAULT = (500, 504)
KEY_ENDED = 401
"""Of a caller who is known: its key ended while the request was answered."""
TRIES = 3
"""Of a request that ends by our fault, before that is its answer."""
LOOK_SECONDS = 0.2
LAST_SECONDS = 4.0
"""For requests in flight when the job is to stop: well below what a worker is given."""
SAVE_SECONDS, SAVE_SHARE = 2.0, 0.02
"""Rows become durable after so long, or this share of the time that the job has run."""

ALL, STOPPED, EXPIRED, REVOKED = "all", "stopped", "expired", "revoked"
"""Why no more is answered."""


@dataclass(frozen=True)
class BatchRequest:
    """One request of a job."""

    custom_id: str
    """Which of the job's it is; no two have the same."""
    path: str
    body: bytes


@dataclass(frozen=True)
class BatchResponse:
    """Response to a request of a batch, as a client would get it over HTTP."""

    status: int
    request_id: str
    body: Mapping[str, Any]
    retry_after: float = 0.0
    """Seconds; 0 when nothing was said of it."""


Ask = Callable[[str, bytes, Caller], Awaitable[BatchResponse]]
"""Answers the body of a request at a path; raises nothing that the request brings about."""


@dataclass(frozen=True)
class ManyRequests:
    """Requests of one job: which ones, for whom, and how responses are kept."""

    requests: Iterator[BatchRequest]
    caller: Callable[[], Caller]
    """Raises UnauthenticatedError when the caller may not ask any more."""
    until: float
    """Seconds since 1970."""
    row_of: Callable[[BatchRequest, BatchResponse], tuple[str, dict[str, Any]]]
    """Its kind in the journal, and the row."""
    summary: Callable[[], dict[str, Any]]
    report: Callable[[], Awaitable[None]]
    """Called behind answers, to report how far it is."""


class AnswerMany:
    """Answers the requests of jobs.

    Args:
        most: requests of one job in flight.
        room: for those of all jobs of this process.
        others_wait: whether anybody waits for room: nothing more is begun meanwhile.
    """

    def __init__(
        self,
        ask: Ask,
        most: int,
        room: asyncio.Semaphore,
        others_wait: Callable[[], bool],
    ) -> None:
        self._ask = ask
        self._most = most
        self._room = room
        self._others_wait = others_wait

    async def __call__(self, job: ActiveJob, journal: BatchJournal, many: ManyRequests) -> str:
        """Answer until nothing is left or something ends it; gives what.

        Raises:
            Fenced: another worker owns the job.
        """
        flight = _Flight(self._ask, self._room, BatchPace(self._most), self._others_wait)
        running = _Running(flight, job, journal, many)
        try:
            return await running.work()
        finally:
            await running.close()


@dataclass(frozen=True)
class _Flight:
    """How requests of one job are asked, and when."""

    ask: Ask
    room: asyncio.Semaphore
    pace: BatchPace
    others_wait: Callable[[], bool]

    def must_wait(self) -> bool:
        """Whether none may begin now."""
        return self.pace.pause(time.monotonic()) > 0 or self.others_wait()


class _Running:
    """One job's requests in flight."""

    def __init__(
        self, flight: _Flight, job: ActiveJob, journal: BatchJournal, many: ManyRequests
    ) -> None:
        self._flight, self._pace = flight, flight.pace
        self._job, self._journal, self._many = job, journal, many
        self._again: deque[BatchRequest] = deque()
        self._faults: dict[str, int] = {}
        self._flying: dict[asyncio.Task[BatchResponse], BatchRequest] = {}
        self._saving: asyncio.Task[None] | None = None
        self._began = self._saved_at = time.monotonic()
        self._saved_rows = len(journal.done)
        self._is_drained = False
        """Whether all requests were begun."""

    async def work(self) -> str:
        while (why := self._why_to_end()) is None:
            self._start()
            if not self._flying and not self._again and self._is_drained:
                return ALL
            await self._land(LOOK_SECONDS)
            self._save_if_due()
        give_up = time.monotonic() + LAST_SECONDS
        while self._flying and (left := give_up - time.monotonic()) > 0:
            await self._land(left)
        return why

    async def close(self) -> None:
        """Nothing flies any more, and nothing is being saved."""
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        if self._saving is not None:
            await asyncio.gather(self._saving, return_exceptions=True)

    def _why_to_end(self) -> str | None:
        if self._job.is_to_stop:
            return STOPPED
        if time.time() >= self._many.until:
            return EXPIRED
        try:
            self._many.caller()
        except UnauthenticatedError:
            return REVOKED
        return None

    def _start(self) -> None:
        """Let fly what may."""
        if self._flight.must_wait():
            # Waiting is no standstill, however long there is no room.
            self._job.heartbeat.beat("wait", int(time.monotonic()), HANDLER_SILENCE_SECONDS)
            return
        while len(self._flying) < self._pace.allowed and not self._flight.others_wait():
            with suppress(IndexError):
                self._fly(self._again.popleft())
                continue
            request = next(self._many.requests, None)
            if request is None:
                self._is_drained = True
                return
            self._fly(request)

    def _fly(self, request: BatchRequest) -> None:
        self._flying[asyncio.create_task(self._answer(request))] = request

    async def _answer(self, request: BatchRequest) -> BatchResponse:
        async with self._flight.room:
            return await self._flight.ask(request.path, request.body, self._many.caller())

    async def _land(self, seconds: float) -> None:
        if not self._flying:
            await asyncio.sleep(seconds)
            return
        done, _ = await asyncio.wait(
            self._flying, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            self._finish(self._flying.pop(task), task)
        if done:
            await self._many.report()

    def _finish(self, request: BatchRequest, task: "asyncio.Task[BatchResponse]") -> None:
        try:
            answer = task.result()
        except UnauthenticatedError:
            self._again.append(request)
            return
        if answer.status == KEY_ENDED:
            self._again.append(request)
            return
        if answer.status in NO_ROOM:
            BATCH_REQUESTS.labels("waited").inc()
            self._pace.refused(time.monotonic(), answer.retry_after)
            self._again.append(request)
            return
        self._pace.answered()
        faults = self._faults.pop(request.custom_id, 0) + 1
        if answer.status in OUR_FAULT and faults < TRIES:
            self._faults[request.custom_id] = faults
            self._again.append(request)
            return
        kind, row = self._many.row_of(request, answer)
        BATCH_REQUESTS.labels("answered" if answer.status == 200 else "refused").inc()
        self._journal.add(request.custom_id, kind, row)

    def _save_if_due(self) -> None:
        now = time.monotonic()
        if self._saving is not None:
            if not self._saving.done():
                return
            saving, self._saving = self._saving, None
            saving.result()
            self._saved_at = now
        due = self._saved_at + max(SAVE_SECONDS, (now - self._began) * SAVE_SHARE)
        if now >= due and len(self._journal.done) > self._saved_rows:
            self._saved_rows = len(self._journal.done)
            self._saving = asyncio.create_task(self._journal.save(self._many.summary()))
