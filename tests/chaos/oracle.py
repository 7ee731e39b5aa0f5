"""Judges a run by nothing but what the streams hold and what was promised to the callers."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JobRequested, JobState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import MODEL_READY

LEGAL = {
    pb.JOB_STATUS_UNSPECIFIED: {pb.JOB_STATUS_RUNNING},
    pb.JOB_STATUS_QUEUED: {pb.JOB_STATUS_RUNNING},
    pb.JOB_STATUS_RUNNING: {
        pb.JOB_STATUS_RUNNING,
        pb.JOB_STATUS_QUEUED,
        pb.JOB_STATUS_SUCCEEDED,
        pb.JOB_STATUS_FAILED,
    },
    pb.JOB_STATUS_SUCCEEDED: set(),
    pb.JOB_STATUS_FAILED: set(),
}
"""Which state may follow which where nobody pauses or cancels; the first follows UNSPECIFIED."""


@dataclass(frozen=True)
class History:
    """What there is to judge."""

    accepted: Mapping[str, int]
    """Jobs of which a caller was told that they are accepted, and the steps of their chains."""
    requested: Sequence[JobRequested]
    states: Sequence[Stored[JobState]]
    """In the order of the stream."""
    announced: Sequence[ModelReady]


@dataclass(frozen=True)
class Verdict:
    """Counts over one run."""

    accepted: int
    lost: int
    """Accepted jobs that are not in the stream, or did not succeed."""
    doubled: int
    """Successes beyond a job's first."""
    wrong_artifacts: int
    """Successes with another digest than that of the chain computed again."""
    zombies_accepted: int
    """States written under an older claim after a newer one."""
    illegal: int
    """States that may not follow the one before."""
    wrong_versions: int
    """Jobs without exactly one announcement for their success, and of that very version."""
    set_back: int
    """States whose checkpoint lies before that of an earlier state."""
    takeovers: int
    """Claims of a job whose owner had not said how it ended: what the faults brought about."""

    @property
    def unfenced_writes(self) -> int:
        """What compare-and-set alone prevents."""
        return self.doubled + self.zombies_accepted

    @property
    def broken(self) -> dict[str, int]:
        """Each promise that does not hold, and how often."""
        promises = {
            "accepted jobs lost": self.lost,
            "effects doubled": self.doubled,
            "wrong artifacts": self.wrong_artifacts,
            "zombies accepted": self.zombies_accepted,
            "illegal transitions": self.illegal,
            "jobs without exactly one version": self.wrong_versions,
            "checkpoints set back": self.set_back,
        }
        return {name: count for name, count in promises.items() if count}


async def read_history(bus: Bus, accepted: Mapping[str, int]) -> History:
    """Replay JOBS and MODELS, whole."""
    jobs = [stored async for stored in bus.replay(["job.requested.>", "job.state.*"])]
    models = [stored async for stored in bus.replay([MODEL_READY])]
    return History(
        accepted=dict(accepted),
        requested=[stored.body for stored in jobs if isinstance(stored.body, JobRequested)],
        states=[stored for stored in jobs if isinstance(stored.body, JobState)],
        announced=[stored.body for stored in models],
    )


def judge(history: History) -> Verdict:
    """Count what was promised never to happen."""
    by_job: dict[str, list[Stored[JobState]]] = defaultdict(list)
    for stored in history.states:
        by_job[stored.body.job_id].append(stored)
    requested = {request.job_id for request in history.requested}
    successes = {job_id: _successes(states) for job_id, states in by_job.items()}
    return Verdict(
        accepted=len(history.accepted),
        lost=sum(
            job_id not in requested or not successes.get(job_id) for job_id in history.accepted
        ),
        doubled=sum(max(0, len(states) - 1) for states in successes.values()),
        wrong_artifacts=sum(
            state.result.digest != chain_end(job_id, history.accepted.get(job_id, 0))
            for job_id, states in successes.items()
            for state in states
        ),
        zombies_accepted=sum(_zombie_writes(states) for states in by_job.values()),
        illegal=sum(_illegal(states) for states in by_job.values()),
        wrong_versions=_wrong_versions(successes, history.announced),
        set_back=sum(_set_back(states) for states in by_job.values()),
        takeovers=sum(_takeovers(states) for states in by_job.values()),
    )


def chain_end(job_id: str, steps: int) -> str:
    """What a job's chain ends in; written apart from the job's own code, to check that, too."""
    value = ""
    for step in range(1, steps + 1):
        value = hashlib.sha256(f"{value}{job_id}{step}".encode()).hexdigest()
    return value


def _successes(states: Sequence[Stored[JobState]]) -> list[JobState]:
    return [stored.body for stored in states if stored.body.status == pb.JOB_STATUS_SUCCEEDED]


def _is_claim(state: JobState) -> bool:
    """A claim is the one state without a fence: its own sequence is the fence of what follows."""
    return state.status == pb.JOB_STATUS_RUNNING and not state.fence


def _zombie_writes(states: Sequence[Stored[JobState]]) -> int:
    count = newest_claim = 0
    for stored in states:
        if _is_claim(stored.body):
            newest_claim = stored.sequence
        elif stored.body.fence < newest_claim:
            count += 1
    return count


def _illegal(states: Sequence[Stored[JobState]]) -> int:
    count, before = 0, pb.JOB_STATUS_UNSPECIFIED
    for stored in states:
        count += stored.body.status not in LEGAL[before]
        before = stored.body.status
    return count


def _wrong_versions(
    successes: Mapping[str, Sequence[JobState]], announced: Sequence[ModelReady]
) -> int:
    versions: dict[str, list[str]] = defaultdict(list)
    for ready in announced:
        versions[ready.job_id].append(ready.version_id)
    return sum(
        versions[job_id] != [state.result.version_id for state in successes.get(job_id, ())][:1]
        for job_id in {*successes, *versions}
    )


def _set_back(states: Sequence[Stored[JobState]]) -> int:
    count = furthest = 0
    for stored in states:
        step = stored.body.checkpoint.step
        count += step < furthest
        furthest = max(furthest, step)
    return count


def _takeovers(states: Sequence[Stored[JobState]]) -> int:
    count, running = 0, False
    for stored in states:
        count += running and _is_claim(stored.body)
        running = stored.body.status == pb.JOB_STATUS_RUNNING
    return count
