"""Keeps what the streams were given and judges each message by what is promised.

Written apart from the code under test: its own tables, its own chain.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JobControl, JobRequested, JobResumed, JobState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.envelope import decode
from modelmill_bus.subjects import route
from modelmill_testkit.fake_nats.stream import StoredMessage

from tests.chaos.oracle import chain_end

MAX_FAILURES, MAX_LOST = 3, 5
RUNNING, QUEUED = pb.JOB_STATUS_RUNNING, pb.JOB_STATUS_QUEUED
PAUSED, CANCELLED = pb.JOB_STATUS_PAUSED, pb.JOB_STATUS_CANCELLED
SUCCEEDED, FAILED = pb.JOB_STATUS_SUCCEEDED, pb.JOB_STATUS_FAILED
NOTHING = pb.JOB_STATUS_UNSPECIFIED
LEGAL = {
    NOTHING: {RUNNING, PAUSED, CANCELLED},
    QUEUED: {RUNNING, PAUSED, CANCELLED},
    RUNNING: {RUNNING, QUEUED, PAUSED, CANCELLED, SUCCEEDED, FAILED},
    PAUSED: {RUNNING, CANCELLED},
    CANCELLED: set(),
    FAILED: {RUNNING, PAUSED, CANCELLED},
    SUCCEEDED: set(),
}
"""Which state may follow which; the first follows NOTHING."""


@dataclass
class JobRecord:
    """What the streams hold of one job, in order."""

    job_id: str
    requests: list[tuple[int, JobRequested]] = field(default_factory=list)
    control_signals: list[tuple[int, JobControl]] = field(default_factory=list)
    resumes: list[tuple[int, JobResumed]] = field(default_factory=list)
    states: list[tuple[int, JobState]] = field(default_factory=list)
    announced: list[ModelReady] = field(default_factory=list)
    newest_claim: int = 0
    claimed_at: float = 0.0

    @property
    def steps(self) -> int:
        """Of its chain, as ordered."""
        return int(self.requests[0][1].spec["steps"])

    @property
    def last(self) -> JobState:
        """Its last state; an empty one before the first."""
        return self.states[-1][1] if self.states else JobState()

    @property
    def desired_state(self) -> "pb.JobDesiredState.ValueType":
        """In force."""
        return (
            self.control_signals[-1][1].desired_state
            if self.control_signals
            else pb.JOB_DESIRED_STATE_RUN
        )


def is_claim(state: JobState) -> bool:
    """A claim is the one running state without a fence: it cannot know its own sequence."""
    return state.status == RUNNING and not state.fence


class Book:
    """All jobs, and every promise that was seen broken."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.broken: list[str] = []
        self.takeovers: list[tuple[str, str, float, float]] = []
        """Of a job, from whom, when they had claimed it, and when it was claimed anew."""
        self.counts: dict[str, int] = defaultdict(int)

    def write(self, message: StoredMessage) -> None:
        """Take in what a stream has just stored."""
        where = route(message.subject)
        body: Any = decode(
            message.sequence, message.subject, message.data, message.headers, where.body
        ).body
        if isinstance(body, ModelReady):
            self._announce(body)
            return
        if not isinstance(body, JobRequested | JobControl | JobResumed | JobState):
            return
        job = self.jobs.setdefault(body.job_id, JobRecord(body.job_id))
        match body:
            case JobRequested():
                job.requests.append((message.sequence, body))
                self._expect(len(job.requests) == 1, f"{body.job_id} was requested twice")
            case JobControl():
                job.control_signals.append((message.sequence, body))
            case JobResumed():
                job.resumes.append((message.sequence, body))
            case JobState():
                self._state(job, message, body)

    def _expect(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.broken.append(otherwise)

    def _announce(self, ready: ModelReady) -> None:
        job = self.jobs[ready.job_id]
        job.announced.append(ready)
        self._expect(len(job.announced) == 1, f"{job.job_id} was announced twice")
        self._expect(job.last.status == SUCCEEDED, f"{job.job_id} announced without success")
        self._expect(
            ready.version_id == job.last.result.version_id, f"{job.job_id}: another version"
        )

    def _state(self, job: JobRecord, message: StoredMessage, state: JobState) -> None:
        before = job.last
        self.counts[pb.JobStatus.Name(state.status).removeprefix("JOB_STATUS_").lower()] += 1
        words = f"{job.job_id} {_word(before)} -> {_word(state)} at {message.sequence}"
        self._expect(state.status in LEGAL[before.status], f"illegal: {words}")
        if is_claim(state):
            if before.status == RUNNING:
                self.takeovers.append((job.job_id, before.owner, job.claimed_at, message.at))
            self._claim(before, state, words)
            job.newest_claim, job.claimed_at = message.sequence, message.at
        else:
            # Whoever parks a job of a worker that died does so without a claim of its own.
            parked = state.status in (PAUSED, CANCELLED) and state.fence == before.fence
            self._expect(state.fence == job.newest_claim or parked, f"a zombie wrote: {words}")
            self._outcome(before, state, words)
        self._expect(
            state.checkpoint.step >= before.checkpoint.step, f"checkpoint set back: {words}"
        )
        if state.status == SUCCEEDED:
            right = chain_end(job.job_id, job.steps)
            self._expect(state.result.digest == right, f"wrong result: {words}")
        job.states.append((message.sequence, state))

    def _claim(self, before: JobState, state: JobState, words: str) -> None:
        goes_on = before.status in (NOTHING, QUEUED, RUNNING)
        lost = before.lost + (before.status == RUNNING) if goes_on else 0
        self._expect(state.attempt == before.attempt + 1, f"attempts miscounted: {words}")
        self._expect(state.lost == lost, f"lost miscounted: {words}")
        failures = before.failures if goes_on else 0
        self._expect(state.failures == failures, f"failures miscounted: {words}")
        self._expect(state.preemptions == before.preemptions, f"preemptions: {words}")

    def _outcome(self, before: JobState, state: JobState, words: str) -> None:
        self._expect(state.attempt == before.attempt, f"attempts miscounted: {words}")
        stopped = state.status in (PAUSED, CANCELLED)
        failed, preempted = (
            state.failures - before.failures,
            state.preemptions - before.preemptions,
        )
        if stopped:
            self._expect(preempted == 0 and failed <= 0, f"a desired state was counted: {words}")
            return
        self._expect(state.lost == before.lost, f"lost miscounted: {words}")
        allowed = {QUEUED: {(0, 0), (1, 0), (0, 1)}, FAILED: {(0, 0), (1, 0)}}
        self._expect(
            (failed, preempted) in allowed.get(state.status, {(0, 0)}), f"miscounted: {words}"
        )
        if state.status == FAILED:
            enough = state.failures >= MAX_FAILURES or state.lost > MAX_LOST
            self._expect(enough or state.error.code == "REFUSED", f"failed for no reason: {words}")


def _word(state: JobState) -> str:
    name = pb.JobStatus.Name(state.status).removeprefix("JOB_STATUS_").lower()
    counters = f"f{state.failures} l{state.lost} p{state.preemptions}"
    return f"{name}(attempt {state.attempt}, fence {state.fence}, {counters})"
