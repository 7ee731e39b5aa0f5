"""An attempt: one claim of a job, from the first heartbeat to the final state."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobRequested,
    JobResult,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import process_span
from modelmill_bus.subjects import job_state
from modelmill_service_kit.errors import UnavailableError
from nats.errors import Error as NatsError

from modelmill_jobs.active import (
    DEFAULT_TIMEOUTS,
    STORE_AT_STOP_SECONDS,
    ActiveJob,
    AttemptTimeouts,
)
from modelmill_jobs.announcements import announce, announcements_of
from modelmill_jobs.claims import Claim
from modelmill_jobs.control_signals import StopOrder
from modelmill_jobs.errors import ChildDied, Fenced, JobFailed, Preempted, job_error, retry_delay
from modelmill_jobs.job_status import DESIRED_STATUS, status_word
from modelmill_jobs.progress import ProgressReporter

AfterSuccess = Callable[[str], Awaitable[None]]
"""Told the id of a job that has succeeded; after it raised, it is told again."""


@dataclass(frozen=True)
class AttemptRules:
    """`Worker` says what each is."""

    claim_seconds: float
    max_failures: int
    retry_seconds: float
    after_commit: Callable[[], None]
    after_success: AfterSuccess
    timeouts: AttemptTimeouts = DEFAULT_TIMEOUTS


async def nothing_left(_job_id: str) -> None:
    """For jobs that leave nothing behind."""


log = logging.getLogger(__name__)


@asynccontextmanager
async def left_for_later(subject: str) -> AsyncIterator[None]:
    """Whatever goes wrong within is logged and goes no further.

    Args:
        subject: of the message that asked for the job.
    """
    try:
        yield
    except Fenced:
        log.info("another worker was quicker with %s", subject)
    except (UnavailableError, NatsError) as error:
        # Not acknowledged, so it comes again.
        log.warning("%s is left for later: %s", subject, error)
    except Exception:
        log.exception("%s is left for later", subject)


log = logging.getLogger(__name__)

Handler = Callable[[ActiveJob], Awaitable[JobResult]]

FINAL = ("succeeded", "failed", "cancelled")


class Delivery(Protocol):
    """The message that woke us; nats-py's `Msg`."""

    async def ack(self) -> None:
        """The job is done with."""

    async def nak(self, delay: float | None = None) -> None:
        """Deliver it again, after `delay` seconds."""

    async def in_progress(self) -> None:
        """It is still in hand."""


class Attempt:
    """Runs a handler on a claimed job and writes what came of it."""

    def __init__(
        self,
        bus: Bus,
        request: JobRequested,
        claim: Claim,
        delivery: Delivery,
        stop: StopOrder,
        *,
        folder: Path,
        rules: AttemptRules,
    ) -> None:
        self._bus = bus
        self._claim = claim
        self._delivery = delivery
        self._stop = stop
        self._folder = folder
        self._rules = rules
        self._progress = ProgressReporter(bus, request.job_id, claim.fence)
        self._job = ActiveJob(request, claim, self._progress, folder, stop, rules.timeouts)

    async def run(self, handler: Handler) -> str:
        """Work, write the outcome, and name it for the metrics.

        Raises:
            UnavailableError: while stopping, the broker was away: the outcome is not written, and
                the next claim finds the job as a crash would have left it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        outcome = ""
        try:
            outcome = await self._work(handler)
        except Fenced:
            log.warning("job %s went to another worker; nothing is written", self._job.job_id)
            await self._clear_what_came_late()
            outcome = "fenced"
        finally:
            await asyncio.to_thread(_clear, self._folder, final=outcome in FINAL)
        return outcome

    async def _work(self, handler: Handler) -> str:
        try:
            result = await self._supervise(handler)
            announcements_of(result)
        except Fenced:
            raise
        except Preempted:
            return await self._end_early()
        except JobFailed as failure:
            return await self._fail(job_error(failure))
        except UnavailableError as failure:
            return await self._wait(failure)
        except Exception as failure:
            log.exception("attempt %d of job %s failed", self._job.attempt, self._job.job_id)
            return await self._count_failure(job_error(failure))
        return await self._commit(result)

    async def _supervise(self, handler: Handler) -> JobResult:
        """The handler's result, unless the claim is lost, it shall end early or nothing moves."""
        work: asyncio.Task[JobResult] = asyncio.ensure_future(handler(self._job))
        watches = [asyncio.create_task(self._beat()), asyncio.create_task(self._until_stopped())]
        publishing = asyncio.create_task(self._progress.run())
        try:
            await asyncio.wait({work, *watches}, return_when=asyncio.FIRST_COMPLETED)
            if work.cancelled():
                raise RuntimeError("the handler was cancelled by other code than the job runner")
            if work.done():
                return work.result()
            # A watch ends only by raising why the work must end.
            await _cancelled(work)
            for watch in watches:
                if watch.done():
                    await watch
            raise AssertionError("a watch ended without saying why")
        finally:
            await _cancelled(work, publishing, *watches)
            await self._progress.flush()

    async def _beat(self) -> None:
        """Renew the claim while the work moves."""
        while True:
            await asyncio.sleep(self._rules.claim_seconds / 4)
            if self._job.heartbeat.overdue_seconds > self._rules.timeouts.hung_grace:
                raise ChildDied("HUNG", "the work stopped moving", "")
            if self._job.heartbeat.overdue:
                continue
            try:
                if not await self._claim.is_ours():
                    raise Fenced(f"job {self._job.job_id} has another owner")
                # The follower may be behind, after a broker's restart by seconds.
                await self._stop.heard.look()
                await self._delivery.in_progress()
            except (UnavailableError, NatsError) as error:
                log.info("claim on %s could not be renewed: %s", self._job.job_id, error)
            self._progress.keep_alive()

    async def _until_stopped(self) -> None:
        while True:
            await self._stop.wait()
            seconds = self._rules.timeouts.stop + 1
            await asyncio.sleep(seconds)
            await self._job.until_stored(STORE_AT_STOP_SECONDS - seconds)
            if self._stop.is_set():  # not withdrawn meanwhile
                raise Preempted

    async def _commit(self, result: JobResult) -> str:
        """Success is the state; the announcement follows from it; the ack comes last."""
        state = self._claim.copy()
        state.status = JOB_STATUS_SUCCEEDED
        state.result.CopyFrom(result)
        state.ClearField("error")
        await self._claim.write(state)
        self._rules.after_commit()
        while True:
            try:
                await announce(self._bus, result)
            except UnavailableError:
                if self._stop.process.is_set():
                    raise
                await asyncio.sleep(0.2)
            else:
                break
        try:
            await self._rules.after_success(self._job.job_id)
        except Exception:
            log.exception("job %s has succeeded; what it left is cleared later", self._job.job_id)
            await self._nak(self._rules.retry_seconds)
        else:
            await self._ack()
        return "succeeded"

    async def _clear_what_came_late(self) -> None:
        """What an overtaken attempt stored after the success of the other one nobody else sees."""
        with suppress(UnavailableError):
            stored = await self._bus.last(job_state(self._job.job_id), JobState)
            if stored is not None and stored.body.status == JOB_STATUS_SUCCEEDED:
                await self._rules.after_success(self._job.job_id)

    async def _end_early(self) -> str:
        if self._stop.heard.desired_state in DESIRED_STATUS:
            with process_span("job.control.*", self._stop.heard.trace):
                return await self._stop_as_desired()
        preempted = self._stop.process.is_set()
        state = self._claim.copy()
        state.status = JOB_STATUS_QUEUED
        state.preemptions += preempted
        await self._claim.write(state)
        await self._nak(None)
        return "preempted" if preempted else "withdrawn"

    async def _stop_as_desired(self) -> str:
        """Write what is desired until that is the desired state still, and acknowledge only then.

        A cancel is final.

        Whoever asks for something else either sees what is written here, or is seen here:
        each writes first and looks at the other's subject afterwards.
        """
        heard = self._stop.heard
        while True:
            desired_state = heard.desired_state
            state = self._claim.copy()
            state.status = DESIRED_STATUS[desired_state]
            state.ClearField("error")
            await self._claim.write(state)
            newest = await heard.look()
            if newest == desired_state or state.status == JOB_STATUS_CANCELLED:
                await self._ack()
                return status_word(state.status)
            if newest == JOB_DESIRED_STATE_RUN:
                await self._nak(None)
                return "withdrawn"

    async def _fail(self, error: JobError) -> str:
        state = self._claim.copy()
        state.status = JOB_STATUS_FAILED
        state.error.CopyFrom(error)
        await self._claim.write(state)
        await self._ack()
        return "failed"

    async def _count_failure(self, error: JobError) -> str:
        state = self._claim.copy()
        state.failures += 1
        state.error.CopyFrom(error)
        failed = state.failures >= self._rules.max_failures
        state.status = JOB_STATUS_FAILED if failed else JOB_STATUS_QUEUED
        await self._claim.write(state)
        if failed:
            await self._ack()
            return "failed"
        await self._nak(retry_delay(state, self._rules.retry_seconds))
        return "retried"

    async def _wait(self, failure: UnavailableError) -> str:
        """What the work needs is away: nobody's failure, so it is tried again until it is back."""
        if self._stop.is_set():
            return await self._end_early()
        log.warning("job %s waits: %s", self._job.job_id, failure)
        state = self._claim.copy()
        state.status = JOB_STATUS_QUEUED
        state.error.CopyFrom(job_error(failure))
        await self._claim.write(state)
        await self._nak(retry_delay(state, self._rules.retry_seconds))
        return "waiting"

    async def _ack(self) -> None:
        with suppress(NatsError):
            await self._delivery.ack()

    async def _nak(self, delay: float | None) -> None:
        with suppress(NatsError):
            await self._delivery.nak(delay=delay)


def _clear(folder: Path, *, final: bool) -> None:
    """Remove an attempt's folder; after the last one also what crashed attempts left behind."""
    shutil.rmtree(folder.parent if final else folder, ignore_errors=True)
    with suppress(OSError):  # there is none any more, or another attempt's folder is in it
        folder.parent.rmdir()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and wait for the end of each; what they raise then is of no interest."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
            f"{lost} workers died while they ran it",
            "It probably needs more memory than the workers have.",
        )

    return refuse
