"""Files, datasets and models that unfinished jobs need, which must not be deleted."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_CANCELLED,
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
from modelmill_bus.read_model import ReadModel
from modelmill_jobs.job_status import TERMINAL, runs_again, status_word
from modelmill_service_kit.errors import PreconditionError

FILTERS = ("job.requested.>", "job.resumed.>", "job.control.*", "job.state.*")
CATCH_UP_SECONDS = 3.0
NAMED = 5
"""Jobs that a refusal names."""
INPUT_ID = re.compile(r"(?:ds|file|mv)-[a-z0-9-]+")
"""Of what a job is made from: a dataset, a file or a model version."""
FREE_FIELDS = frozenset({"name", "metadata"})
"""Fields of specs in which people write what they like."""


@dataclass
class _Job:
    tenant: str
    kind: str
    inputs: frozenset[str]
    status: JobStatus.ValueType = JOB_STATUS_QUEUED
    desired_state: JobDesiredState.ValueType = JOB_DESIRED_STATE_RUN
    state_sequence: int = 0
    resumed_sequence: int = 0

    @property
    def current(self) -> JobStatus.ValueType:
        """Its status; one that was resumed after its end is queued."""
        resumed_since = self.resumed_sequence > self.state_sequence
        if runs_again(self.status, self.desired_state, resumed_since=resumed_since):
            return JOB_STATUS_QUEUED
        return self.status


class UnfinishedJobs(ReadModel):
    """Follows JOBS and keeps what may still run: the ids that it was made to work on."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, FILTERS)
        self._jobs: dict[str, _Job] = {}

    async def refuse_use(self, tenant: str, what: str, ids: Collection[str]) -> None:
        """See that no queued, running or paused job needs one of these, as of now.

        Args:
            tenant: Whose jobs may be named.
            what: To be deleted, for the message, for example "dataset 'ds-1'".

        Raises:
            PreconditionError: One does; names the jobs.
            UnavailableError: The bus does not answer, or what it says is not read yet.
        """
        await self.wait_for(await self._bus.last_sequence("JOBS"), CATCH_UP_SECONDS)
        users = [
            (job_id, job)
            for job_id, job in self._jobs.items()
            if job.current not in TERMINAL and not job.inputs.isdisjoint(ids)
        ]
        if users:
            named = ", ".join(_named(tenant, users))
            raise PreconditionError(
                f"{what} is in use by {named}. Let them end, or cancel them first"
            )

    def _apply(self, stored: Stored[Any]) -> None:
        body = stored.body
        if isinstance(body, JobRequested):
            self._jobs[body.job_id] = _Job(body.tenant, body.kind, input_ids(body))
            return
        job = self._jobs.get(body.job_id)
        if job is None:
            return
        if isinstance(body, JobState):
            job.status, job.state_sequence = body.status, stored.sequence
            if body.status in (JOB_STATUS_SUCCEEDED, JOB_STATUS_CANCELLED):
                del self._jobs[body.job_id]
        elif isinstance(body, JobControl):
            job.desired_state = body.desired_state
        elif isinstance(body, JobResumed):
            job.resumed_sequence = stored.sequence


def input_ids(request: JobRequested) -> frozenset[str]:
    """Ids of the files, datasets and models that the job's spec names."""
    texts = _texts(MessageToDict(request.spec))
    return frozenset(text for text in texts if INPUT_ID.fullmatch(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in FREE_FIELDS:
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _named(tenant: str, users: Collection[tuple[str, _Job]]) -> Iterator[str]:
    mine = [(job_id, job) for job_id, job in users if job.tenant == tenant]
    for job_id, job in mine[:NAMED]:
        yield f"job {job_id} ({job.kind}, {status_word(job.current)})"
    if len(mine) > NAMED:
        yield f"{len(mine) - NAMED} more of your jobs"
    if len(mine) < len(users):
        yield "jobs of another tenant"
