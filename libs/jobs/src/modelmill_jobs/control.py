"""Use case: record the desired state of a job durably, and act on it where possible.

A running job is stopped by its worker, which hears the desired state. A job that nobody holds is
paused or cancelled here, and woken here when it shall run again.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from modelmill.jobs.v1 import job_service_pb2 as pb
from modelmill.jobs.v1 import job_service_pb2_grpc as pb_grpc
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobControl,
    JobDesiredState,
    JobRequested,
    JobResumed,
    JobState,
    JobStatus,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.subjects import TOKEN, job_control, job_requested, job_resumed, job_state, token
from modelmill_service_kit.errors import (
    InvalidInputError,
    PreconditionError,
    UnavailableError,
)
from modelmill_service_kit.nearest import no_such

from modelmill_jobs.claims import Claim
from modelmill_jobs.errors import Fenced
from modelmill_jobs.job_status import (
    DESIRED_STATUS,
    desired_state_left,
    may_be_finalized,
    renewed,
    runs_again,
    status_word,
)
from modelmill_jobs.process_capacity import ProcessCapacity


async def finalize_unclaimed(
    bus: Bus,
    request: JobRequested,
    before: Stored[JobState] | None,
    desired_state: JobDesiredState.ValueType,
    stopping: asyncio.Event,
) -> int:
    """Write the desired state as the job's state, and return its sequence.

    It is a compare-and-set like a claim, so of a claim and this one comes first and the other is
    told.

    Args:
        before: the last state; None when nobody wrote one.
        desired_state: PAUSE or CANCEL.

    Raises:
        Fenced: somebody else wrote first.
        UnavailableError: the process stops and the broker stayed away.
    """
    claim = Claim(bus, request, before, stopping)
    state = claim.copy() if before is None else renewed(before.body)
    state.status = DESIRED_STATUS[desired_state]
    return await claim.write(state)


log = logging.getLogger(__name__)

CONTROL_SECONDS = 3.5
PARK_SECONDS = 1.5
REMEDY = "Create a new job"
ACTIONS = (JOB_DESIRED_STATE_RUN, JOB_DESIRED_STATE_PAUSE, JOB_DESIRED_STATE_CANCEL)


@dataclass(frozen=True)
class _Case:
    """State of one job as read from the stream."""

    request: Stored[JobRequested]
    control: Stored[JobControl] | None
    state: Stored[JobState] | None
    resumed_since: bool
    """Whether a resume came after the state."""

    @property
    def status(self) -> JobStatus.ValueType:
        """Of the last state."""
        return self.state.body.status if self.state else JOB_STATUS_QUEUED

    @property
    def desired_state(self) -> JobDesiredState.ValueType:
        """In force, and able to come true."""
        desired_state = self.control.body.desired_state if self.control else JOB_DESIRED_STATE_RUN
        return (
            desired_state if self.resumed_since else desired_state_left(self.status, desired_state)
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it unasked."""
        ended = (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLED)
        return self.status in ended and not runs_again(
            self.status, self.desired_state, resumed_since=self.resumed_since
        )

    @property
    def control_sequence(self) -> int:
        """Of the desired state; 0 when nobody asked for anything."""
        return self.control.sequence if self.control else 0

    @property
    def state_sequence(self) -> int:
        """Of the last state; 0 before the first."""
        return self.state.sequence if self.state else 0


class ControlJob:
    """Writes desired states for jobs of the kinds that this service owns."""

    def __init__(self, bus: Bus, kinds: Sequence[str]) -> None:
        self._bus = bus
        self._kinds = tuple(kinds)
        self._never = asyncio.Event()

    async def __call__(
        self,
        *,
        tenant: str,
        job_id: str,
        desired_state: JobDesiredState.ValueType,
        requested_by: str,
    ) -> int:
        """Record the desired state, and return the sequence that a read model must have passed to
        know it.

        A desired state in force is not written again; what it still lacks to come true is done
        again, so that a caller who got no answer asks once more.

        Raises:
            NotFoundError: no such job, another tenant's, or of a kind that another service owns.
            InvalidInputError: it is no desired state.
            PreconditionError: the job has ended, so that the desired state cannot come true.
            UnavailableError: the bus does not answer; ask again.
        """
        if desired_state not in ACTIONS:
            raise InvalidInputError("desired state must be RUN, PAUSE or CANCEL")
        try:
            async with asyncio.timeout(CONTROL_SECONDS):
                request = await self._request(tenant, job_id)
                case, recorded = await self._record(request, desired_state, requested_by)
                if desired_state == JOB_DESIRED_STATE_RUN:
                    return max(recorded, await self._wake(case, requested_by))
        except TimeoutError as error:
            raise UnavailableError("the job queue does not answer") from error
        return max(recorded, await self._finalize_soon(case, desired_state))

    async def _request(self, tenant: str, job_id: str) -> Stored[JobRequested]:
        # From the stream itself: a job may be controlled the moment after it was accepted.
        for kind in self._kinds if TOKEN.fullmatch(job_id) else ():
            stored = await self._bus.last(job_requested(kind, tenant, job_id), JobRequested)
            if stored is not None:
                return stored
        raise no_such("job", job_id, "/v1/jobs")

    async def _record(
        self,
        request: Stored[JobRequested],
        desired_state: JobDesiredState.ValueType,
        requested_by: str,
    ) -> tuple[_Case, int]:
        """The case that the desired state was judged by, and a sequence from which on it is
        known."""
        job_id = request.body.job_id
        body = JobControl(job_id=job_id, desired_state=desired_state, requested_by=requested_by)
        while True:
            case = await self._case(request)
            _refuse(case, desired_state)
            known = max(request.sequence, case.control_sequence, case.state_sequence)
            if (
                case.control.body.desired_state if case.control else JOB_DESIRED_STATE_RUN
            ) == desired_state:
                return case, known
            try:
                sequence = await self._bus.publish(
                    job_control(job_id), body, expect_last=case.control_sequence
                )
            except StaleWriteError:
                continue  # somebody asked first; judge again by what that changed
            return await self._case(request), sequence

    async def _case(self, request: Stored[JobRequested]) -> _Case:
        body = request.body
        state = await self._bus.last(job_state(body.job_id), JobState)
        resumed = None
        if state is not None and state.body.status == JOB_STATUS_FAILED:
            subject = job_resumed(body.kind, body.tenant, body.job_id)
            resumed = await self._bus.last(subject, JobResumed)
        control = await self._bus.last(job_control(body.job_id), JobControl)
        since = resumed is not None and state is not None and resumed.sequence > state.sequence
        return _Case(request, control, state, since)

    async def _wake(self, case: _Case, requested_by: str) -> int:
        """Sequence of the resume; 0 when the job needs none."""
        request = case.request.body
        if case.status not in (JOB_STATUS_PAUSED, JOB_STATUS_FAILED):
            return 0
        body = JobResumed(
            job_id=request.job_id,
            requested_by=requested_by,
            priority=request.priority,
            expected_seconds=request.expected_seconds,
        )
        if request.HasField("needs"):
            body.needs.CopyFrom(request.needs)
        body.resumed_at.GetCurrentTime()
        return await self._bus.publish(
            job_resumed(request.kind, request.tenant, request.job_id),
            body,
            # Callers at once, and repeats, mean the same resume.
            msg_id=f"{request.job_id}-resumed-{case.state_sequence}-{case.control_sequence}",
        )

    async def _finalize_soon(self, case: _Case, desired_state: JobDesiredState.ValueType) -> int:
        """Sequence of the state that was written; 0 when that is left to a worker."""
        try:
            async with asyncio.timeout(PARK_SECONDS):
                return await self._finalize(case, desired_state)
        except (UnavailableError, TimeoutError) as error:
            # The desired state is durable, and the worker that is offered the job next sees to it.
            log.warning("job %s is not parked yet: %s", case.request.body.job_id, error)
            return 0

    async def _finalize(self, case: _Case, desired_state: JobDesiredState.ValueType) -> int:
        while case.status != DESIRED_STATUS[desired_state] and may_be_finalized(
            case.status, resumed_since=case.resumed_since
        ):
            if case.desired_state != desired_state:
                return 0  # somebody asked for something else meanwhile, and acts on it
            try:
                return await finalize_unclaimed(
                    self._bus, case.request.body, case.state, desired_state, self._never
                )
            except Fenced:
                case = await self._case(case.request)
        return 0


def _refuse(case: _Case, desired_state: JobDesiredState.ValueType) -> None:
    """Raise what makes the desired state impossible, if anything does."""
    job_id, word = case.request.body.job_id, status_word(case.status)
    if case.status == JOB_STATUS_SUCCEEDED:
        raise PreconditionError(f"job {job_id} has {word}; what it made stays")
    if desired_state == JOB_DESIRED_STATE_CANCEL and case.status == JOB_STATUS_CANCELLED:
        return
    if case.status == JOB_STATUS_CANCELLED:
        raise PreconditionError(f"job {job_id} has ended: it is {word}, for good. {REMEDY}")
    if desired_state != JOB_DESIRED_STATE_CANCEL and case.desired_state == JOB_DESIRED_STATE_CANCEL:
        raise PreconditionError(f"job {job_id} is being cancelled, for good. {REMEDY}")
    if desired_state != JOB_DESIRED_STATE_RUN and case.has_ended:
        raise PreconditionError(f"job {job_id} has ended: it is {word}; only resume runs it again")


class JobServicer(pb_grpc.JobServiceServicer):
    """What every service that owns jobs adds to its server."""

    def __init__(self, control_job: ControlJob, capacity: ProcessCapacity) -> None:
        self._control_job = control_job
        self._capacity = capacity

    async def GetWorkerCapacity(
        self, request: pb.GetWorkerCapacityRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetWorkerCapacityResponse:
        return await self._capacity()

    async def ControlJob(
        self, request: pb.ControlJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ControlJobResponse:
        sequence = await self._control_job(
            tenant=token(request.tenant, "tenant"),
            job_id=request.job_id,
            desired_state=request.desired_state,
            requested_by=request.requested_by,
        )
        return pb.ControlJobResponse(sequence=sequence)
