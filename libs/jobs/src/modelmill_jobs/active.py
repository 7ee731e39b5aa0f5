"""A claimed job, and the interface of its handler."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from google.protobuf import json_format
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    Checkpoint,
    JobRequested,
    JobResult,
    JobState,
)
from modelmill_bus.envelope import M
from modelmill_service_kit.child_process import ChildProcess
from modelmill_service_kit.core_waits import CoreWaits
from modelmill_service_kit.errors import UnavailableError

from modelmill_jobs.children import OnQuestion, Questions, start_child, why_it_died
from modelmill_jobs.claims import Claim
from modelmill_jobs.control_signals import StopOrder
from modelmill_jobs.errors import ChildDied, JobFailed, Preempted
from modelmill_jobs.progress import HANDLER_SILENCE_SECONDS, Heartbeat, ProgressReporter, Report

log = logging.getLogger(__name__)

START_SILENCE_SECONDS = 180.0
"""Until a child's first report: it imports torch, perhaps beside seven others."""
SAVE_SILENCE_SECONDS = 900.0
"""For making a checkpoint durable."""
STORE_SECONDS = 600.0
"""How long a checkpoint waits for an artifact store that is away, of those."""
STOP_SECONDS = 10.0
"""How long a child may take to save and stop; within a pod's grace period."""
STORE_AT_STOP_SECONDS = 18.0
"""How long, of a stop, a checkpoint that was handed over in time may take to become durable: a disk
that others write to holds up each fsync. Below what a supervisor allows a service (20 s)."""
LOOK_SECONDS = 0.2

OnCheckpoint = Callable[[Path, int], Awaitable[str]]
OnSaved = Callable[[Collection[str]], Awaitable[None]]
OnProgress = Callable[[Report], None]


@dataclass(frozen=True, slots=True)
class AttemptTimeouts:
    """Time limits of an attempt, in seconds."""

    silence: float = HANDLER_SILENCE_SECONDS
    """A handler without progress for this long is considered hung."""
    hung_grace: float = 10.0
    """Further time for `run_child` to end a hung child, before the attempt is ended."""
    stop: float = STOP_SECONDS
    """Grace period of a stop; less than a pod's."""
    store_retry: float = 1.0
    """Delay between attempts to store a checkpoint."""


DEFAULT_TIMEOUTS = AttemptTimeouts()


class ActiveJob:
    """A claimed job. Only the worker makes one.

    Args:
        folder: private to this claim; a zombie of an older claim writes elsewhere.
        stop: whether it shall end early.
    """

    def __init__(
        self,
        request: JobRequested,
        claim: Claim,
        progress: ProgressReporter,
        folder: Path,
        stop: StopOrder,
        timeouts: AttemptTimeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self.request = request
        self.job_id = request.job_id
        self.tenant = request.tenant
        self.fence = claim.fence
        self.attempt: int = claim.state.attempt
        self.folder = folder
        self.heartbeat = Heartbeat(timeouts.silence)
        self._timeouts = timeouts
        self._claim = claim
        self._progress = progress
        self._stop = stop
        self._stored = asyncio.Event()
        self._stored.set()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where an earlier attempt got to, or this one; None before the first."""
        return next(iter(self.checkpoints), None)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """That one, and the one before it: where to go on when the newest cannot be read."""
        state = self._claim.state
        return [one for one in (state.checkpoint, state.checkpoint_before) if one.digest]

    def spec(self, kind: type[M]) -> M:
        """The spec as it was submitted."""
        return json_format.ParseDict(
            json_format.MessageToDict(self.request.spec), kind(), ignore_unknown_fields=True
        )

    async def report(
        self,
        phase: str,
        *,
        done: int = 0,
        total: int = 0,
        unit: str = "",
        metrics: Mapping[str, float] | None = None,
        eta_seconds: float = -1,
    ) -> None:
        """Say how far the handler itself is; the same as `ChildPort.report` for a child.

        A handler that says nothing new for ten minutes outside `run_child` is taken for hung.
        """
        self.heartbeat.beat(phase, done, self._timeouts.silence)
        self._progress.report(Report(phase, done, total, unit, dict(metrics or {}), eta_seconds))

    @property
    def is_to_stop(self) -> bool:
        """Whether the attempt shall end early; a handler without a child then raises Preempted."""
        return self._stop.is_set()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody cancelled it."""
        return self._stop.heard.desired_state == JOB_DESIRED_STATE_CANCEL

    async def until_stored(self, seconds: float) -> None:
        """Return once no checkpoint of the child is being made durable, or after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stored.wait()

    async def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Record figures for people, which stay with the job though it ends without a result.

        Raises:
            Fenced: another worker owns the job.
        """
        state = self._claim.copy()
        _say(state, summary)
        await self._claim.write(state)

    async def save_checkpoint(
        self, digest: str, step: int, summary: Mapping[str, Any] | None = None
    ) -> None:
        """Record a durable artifact as the place from which another attempt goes on.

        Args:
            summary: recorded with it, as by `save_summary`.

        Raises:
            Fenced: another worker owns the job.
        """
        state = self._claim.copy()
        if summary is not None:
            _say(state, summary)
        if state.checkpoint.digest and state.checkpoint.digest != digest:
            state.checkpoint_before.CopyFrom(state.checkpoint)
        state.checkpoint.CopyFrom(Checkpoint(digest=digest, step=step))
        await self._claim.write(state)

    async def run_child(
        self,
        module: str,
        request: Mapping[str, Any],
        *,
        on_checkpoint: OnCheckpoint | None = None,
        on_saved: OnSaved | None = None,
        on_progress: OnProgress | None = None,
        on_question: OnQuestion | None = None,
        env: Mapping[str, str] | None = None,
        about: str = "",
    ) -> dict[str, Any]:
        """Run `python -m module` (see `modelmill_jobs.child`) and return what it succeeds with.

        Args:
            request: JSON; becomes `ChildPort.request`.
            on_checkpoint: makes a folder of the child durable and returns its digest.
            on_saved: told the digests that the state names from now on; what it raises is logged.
            on_progress: told each report, also those that are not published.
            on_question: answers what the child asks, several questions side by side.
            env: added to this process's environment.
            about: stands before each phase that the child reports, as in "openvino-int8: export".

        Raises:
            JobFailed: the child said that it cannot be done.
            ChildDied: it ended without a word, or was silent for longer than its phase allows.
            Preempted: the attempt shall end early, and so did the child.
            Fenced: a checkpoint found that another worker owns the job.
            Exception: whatever `on_question` raised; the child was ended for it.
        """
        async with self._watched_child(module, request, env) as child:
            asked = Questions(child, on_question, self._see_answer)
            saving = _Saving(on_checkpoint, on_saved)
            try:
                return await self._converse(child, saving, on_progress, asked, about)
            finally:
                await asked.close()

    @asynccontextmanager
    async def _watched_child(
        self, module: str, request: Mapping[str, Any], env: Mapping[str, str] | None
    ) -> AsyncIterator[ChildProcess]:
        """A child of the block, told to stop when the attempt shall, and killed when it hangs."""
        self.heartbeat.rest(START_SILENCE_SECONDS)
        child = await start_child(module, request, folder=self.folder, env=env)
        watch = asyncio.create_task(self._watch(child))
        try:
            yield child
        finally:
            watch.cancel()
            await child.close()
            self.heartbeat.rest(self._timeouts.silence)

    async def _converse(
        self,
        child: ChildProcess,
        saving: "_Saving",
        on_progress: OnProgress | None,
        questions: Questions,
        about: str,
    ) -> dict[str, Any]:
        async for message in child.messages():
            match message["type"]:
                case "progress":
                    report = self._take_progress(message, about)
                    (on_progress or _ignore)(report)
                case "checkpoint":
                    await self._take_checkpoint(child, message, saving)
                case "question":
                    questions.take(message["number"], message["question"])
                case "succeeded":
                    await child.wait()
                    result: dict[str, Any] = message["result"]
                    return result
                case "failed":
                    await child.wait()
                    raise JobFailed(
                        message["code"], message["message"], message["remedy"], child.log_tail()
                    )
                case "preempted":
                    raise Preempted
        status = await child.wait()
        raise questions.failure or self._why_it_ended(child, status)

    def _why_it_ended(self, child: ChildProcess, status: int) -> Exception:
        """What became of a child that ended without a word."""
        if self.heartbeat.overdue:
            limit = self.heartbeat.limit_seconds
            reason = f"silent for more than {limit:g} s while in phase {self.heartbeat.phase!r}"
            return ChildDied("HUNG", reason, child.log_tail())
        if child.told_to_stop or self._stop.is_set():
            return Preempted()
        return why_it_died(status, self.folder, child.log_tail())

    def _take_progress(self, message: dict[str, Any], about: str) -> Report:
        phase, done = message["phase"], message["done"]
        phase = f"{about}: {phase}" if about else phase
        self.heartbeat.beat(phase, done, message["max_silence_seconds"])
        report = Report(phase, done, message["total"], message["unit"], message["metrics"])
        self._progress.report(report)
        return report

    def _see_answer(self) -> None:
        self.heartbeat.rest(self.heartbeat.limit_seconds)

    async def _take_checkpoint(
        self, child: ChildProcess, message: dict[str, Any], saving: "_Saving"
    ) -> None:
        if saving.on_checkpoint is None:
            raise TypeError("the child saves checkpoints, but run_child was given no on_checkpoint")
        limit = self.heartbeat.limit_seconds
        self.heartbeat.rest(SAVE_SILENCE_SECONDS)
        self._stored.clear()
        try:
            folder, step = Path(message["folder"]), message["step"]
            digest = await self._durable(saving.on_checkpoint, folder, step)
            await self.save_checkpoint(digest, step)
        finally:
            self._stored.set()
        await saving.tell({one.digest for one in self.checkpoints})
        self.heartbeat.rest(limit)
        child.send({"saved_step": message["step"]})

    async def _durable(self, on_checkpoint: OnCheckpoint, folder: Path, step: int) -> str:
        """The checkpoint's digest; waits for a store that is away, since work would be lost."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + STORE_SECONDS
        while True:
            try:
                return await on_checkpoint(folder, step)
            except UnavailableError as error:
                if clock() >= give_up or self._stop.is_set():
                    raise
                log.warning("checkpoint %d of job %s waits: %s", step, self.job_id, error)
            await asyncio.sleep(self._timeouts.store_retry)

    async def _watch(self, child: ChildProcess) -> None:
        """Ask the child to stop when it shall; kill it when it takes too long or hangs.

        It does not hang while it waits for a core.
        """
        stop_by, waits = float("inf"), CoreWaits(child.pid)
        clock = asyncio.get_running_loop().time
        while not self.heartbeat.overdue and clock() < stop_by:
            await asyncio.sleep(LOOK_SECONDS)
            self.heartbeat.excuse(waits.since_last_look())
            if self._stop.is_set() and stop_by == float("inf"):
                child.terminate()
                stop_by = clock() + self._timeouts.stop
        child.kill()


@dataclass(frozen=True)
class _Saving:
    """What a handler does about its child's checkpoints."""

    on_checkpoint: OnCheckpoint | None
    on_saved: OnSaved | None

    async def tell(self, named: Collection[str]) -> None:
        if self.on_saved is None:
            return
        try:
            await self.on_saved(named)
        except Exception:
            log.exception("checkpoints that nobody needs stay until the next is saved")


def _say(state: JobState, summary: Mapping[str, Any]) -> None:
    state.result.summary.Clear()
    state.result.summary.update(summary)


def _ignore(_report: Report) -> None:
    pass


class JobHandler(Protocol):
    """Work of one kind."""

    kind: str

    async def is_ready(self, request: JobRequested) -> bool:
        """False leaves the job queued; it is offered again a second later."""

    async def __call__(self, job: ActiveJob) -> JobResult:
        """Do the work.

        Raises:
            JobFailed: it cannot succeed. Any other exception counts as a failure and the job is
                tried again, up to the limit.
        """


async def is_ready(handler: JobHandler, request: JobRequested) -> bool:
    """Whether the job can be begun; one of which that cannot be told is begun."""
    try:
        return await handler.is_ready(request)
    except Exception:
        # Whatever it stumbled over, the handler meets it too, where it is counted and told.
        log.exception("cannot tell whether %s is ready", request.job_id)
        return True
