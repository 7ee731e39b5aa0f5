"""The oracle finds each broken promise in a history that has just that one."""

from dataclasses import replace

import pytest
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.jobs.v1.job_pb2 import Checkpoint, JobRequested, JobResult, JobState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import job_state
from opentelemetry.context import Context

from tests.chaos.oracle import History, chain_end, judge

JOB, VERSION, STEPS = "ftjob-1", "mv-1", 5
RUNNING, QUEUED, SUCCEEDED = pb.JOB_STATUS_RUNNING, pb.JOB_STATUS_QUEUED, pb.JOB_STATUS_SUCCEEDED


def state(sequence: int, status: "pb.JobStatus.ValueType", fence: int, step: int = 0):
    """A state as a worker writes it; a claim has no fence yet."""
    body = JobState(
        job_id=JOB, status=status, fence=fence, checkpoint=Checkpoint(digest="c", step=step)
    )
    if status == SUCCEEDED:
        body.result.CopyFrom(JobResult(digest=chain_end(JOB, STEPS), version_id=VERSION))
    return Stored(sequence, job_state(JOB), body, Context())


CLAIM, SAVED = state(2, RUNNING, 0), state(3, RUNNING, 2, step=4)
TAKEOVER, SUCCESS = state(4, RUNNING, 0, step=4), state(5, SUCCEEDED, 4, step=4)
GOOD = History(
    accepted={JOB: STEPS},
    requested=[JobRequested(job_id=JOB)],
    states=[CLAIM, SAVED, TAKEOVER, SUCCESS],
    announced=[ModelReady(job_id=JOB, version_id=VERSION)],
)


def with_states(*states: Stored[JobState]) -> History:
    return replace(GOOD, states=states)


def with_digest(digest: str) -> History:
    success = JobState()
    success.CopyFrom(SUCCESS.body)
    success.result.digest = digest
    return with_states(CLAIM, SAVED, TAKEOVER, replace(SUCCESS, body=success))


def test_a_job_that_was_taken_over_and_succeeded_once_breaks_nothing():
    verdict = judge(GOOD)
    assert verdict.broken == {}
    assert (verdict.accepted, verdict.takeovers) == (1, 1)


@pytest.mark.parametrize(
    ("history", "broken"),
    [
        (replace(GOOD, requested=[]), {"accepted jobs lost": 1}),
        (replace(GOOD, announced=[]), {"jobs without exactly one version": 1}),
        (replace(GOOD, announced=GOOD.announced * 2), {"jobs without exactly one version": 1}),
        (with_digest("0" * 64), {"wrong artifacts": 1}),
        (with_digest(chain_end(JOB, STEPS - 1)), {"wrong artifacts": 1}),
        (
            with_states(CLAIM, TAKEOVER, state(5, RUNNING, 2), state(6, SUCCEEDED, 4)),
            {"zombies accepted": 1, "checkpoints set back": 2},
        ),
        (
            with_states(*GOOD.states, state(6, SUCCEEDED, 4, step=4)),
            {"effects doubled": 1, "illegal transitions": 1},
        ),
        (
            with_states(*GOOD.states, state(6, RUNNING, 0, step=4)),
            {"illegal transitions": 1},
        ),
        (
            with_states(CLAIM, SAVED, TAKEOVER, SUCCESS, state(6, SUCCEEDED, 2, step=4)),
            {"effects doubled": 1, "illegal transitions": 1, "zombies accepted": 1},
        ),
    ],
    ids=[
        "no request",
        "no version",
        "two versions",
        "wrong digest",
        "a step too few",
        "a zombie saved",
        "two successes",
        "claimed after its end",
        "a zombie succeeded",
    ],
)
def test_each_broken_promise_is_found(history: History, broken: dict[str, int]):
    assert judge(history).broken == broken


def test_an_accepted_job_that_has_no_success_is_lost():
    ended = with_states(CLAIM, SAVED, state(4, QUEUED, 2, step=4))
    assert judge(replace(ended, announced=[])).broken == {"accepted jobs lost": 1}


def test_a_version_of_a_job_that_did_not_succeed_is_one_too_many():
    broken = judge(with_states(CLAIM, SAVED)).broken
    assert broken == {"accepted jobs lost": 1, "jobs without exactly one version": 1}
