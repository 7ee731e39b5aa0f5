"""Publishes a job's progress, a few times a second, without delaying the work."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JobProgress
from modelmill_bus.subjects import job_progress
from modelmill_service_kit.errors import DomainError

HANDLER_SILENCE_SECONDS = 600.0
"""For what a handler does itself, between two reports: copying and hashing, not training."""


class Heartbeat:
    """The last movement of (phase, counter), and how long the phase may be silent."""

    def __init__(self, limit_seconds: float = HANDLER_SILENCE_SECONDS) -> None:
        self.phase = "start"
        self.limit_seconds = limit_seconds
        self._done = 0
        self._moved_at = time.monotonic()

    def beat(self, phase: str, done: int, limit_seconds: float) -> None:
        """Take a report; only a new phase or another counter is a movement."""
        if (phase, done) != (self.phase, self._done):
            self.phase, self._done = phase, done
            self._moved_at = time.monotonic()
        self.limit_seconds = limit_seconds

    def excuse(self, seconds: float) -> None:
        """Take these off the silence."""
        self._moved_at = min(self._moved_at + seconds, time.monotonic())

    def rest(self, limit_seconds: float) -> None:
        """Begin to count anew, with another limit: the silence that follows is not the child's."""
        self._moved_at = time.monotonic()
        self.limit_seconds = limit_seconds

    @property
    def overdue_seconds(self) -> float:
        """For how much longer it has been silent than the phase allows; negative while in time."""
        return time.monotonic() - self._moved_at - self.limit_seconds

    @property
    def overdue(self) -> bool:
        """Whether it has been silent for longer than the phase allows."""
        return self.overdue_seconds > 0


log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.25
FLUSH_SECONDS = 3.0
KEPT_PHASES = 32
"""Last reports of so many phases wait for a broker that is away; then the oldest goes."""


@dataclass(frozen=True)
class Report:
    """Progress of a phase."""

    phase: str
    done: int = 0
    total: int = 0
    unit: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    eta_seconds: float = -1.0
    """Seconds left; negative to have it computed."""


class Publisher(Protocol):
    """Publishing port of the bus."""

    async def publish(self, subject: str, body: Message) -> int:
        """Store a message; UnavailableError when the broker is away."""


class ProgressReporter:
    """Takes reports at any rate and publishes the last of each phase, and at most four a second.

    Progress is for people: when the broker is away it is dropped, not waited for.

    Args:
        clock: seconds that only grow; time left is reckoned by it.
    """

    def __init__(
        self,
        bus: Publisher,
        job_id: str,
        fence: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._subject = job_progress(job_id)
        self._job_id = job_id
        self._fence = fence
        self._waiting: list[Report] = []
        self._latest: Report | None = None
        self._news = asyncio.Event()
        self._sending = asyncio.Lock()
        self._phase = ""
        self._began_at = 0.0
        self._began_with = 0

    def report(self, report: Report) -> None:
        """Take a report; figures of one that it replaces and does not have itself are kept."""
        if report.phase != self._phase:
            self._phase = report.phase
            self._began_at, self._began_with = self._clock(), report.done
        if self._waiting and self._waiting[-1].phase == report.phase:
            metrics = {**self._waiting.pop().metrics, **report.metrics}
            report = Report(
                report.phase, report.done, report.total, report.unit, metrics, report.eta_seconds
            )
        self._waiting = [*self._waiting[-KEPT_PHASES:], report]
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._news.wait()
            # Shielded: the report in hand when the work ends is the last one, and must get out.
            await asyncio.shield(self._send_waiting())
            await asyncio.sleep(INTERVAL_SECONDS)

    async def flush(self) -> None:
        """Publish what waits, if the broker takes it within a few seconds."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._send_waiting()
        except TimeoutError:
            log.info("the last progress of %s was not published", self._job_id)

    def keep_alive(self) -> None:
        """Say the latest again: others see by it that the claim is held."""
        if not self._waiting:
            latest = self._latest or Report("start")
            # Without its figures: those were measured once and must not be counted twice.
            self.report(Report(latest.phase, latest.done, latest.total, latest.unit))

    async def _send_waiting(self) -> None:
        async with self._sending:
            # Not what comes meanwhile: with a slow broker that would never end.
            reports, self._waiting = self._waiting, []
            self._news.clear()
            for report in reports:
                self._latest = report
                try:
                    await self._bus.publish(self._subject, self._message(report))
                except DomainError as error:
                    log.info("progress of %s was not published: %s", self._job_id, error)

    def _message(self, report: Report) -> JobProgress:
        message = JobProgress(
            job_id=self._job_id,
            fence=self._fence,
            phase=report.phase,
            done=max(0, report.done),
            total=max(0, report.total),
            unit=report.unit,
            metrics=report.metrics,
            eta_seconds=self._eta(report),
        )
        message.at.GetCurrentTime()
        return message

    def _eta(self, report: Report) -> float:
        if report.eta_seconds >= 0 or report.phase != self._phase:
            return report.eta_seconds
        done_here = report.done - self._began_with
        if done_here <= 0 or report.total <= 0:
            return -1.0
        seconds_each = (self._clock() - self._began_at) / done_here
        return max(0.0, seconds_each * (report.total - report.done))
