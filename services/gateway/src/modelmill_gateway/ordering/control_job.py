"""Cancel, pause or resume a job: its owner records the desired state, its worker acts on it."""

from collections.abc import Mapping

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_FAILED,
    JobDesiredState,
    JobRequested,
)
from modelmill_bus.read_model import SHARED_TENANT, until_seen
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_job_index.unfinished import input_ids
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import NotFoundError, PreconditionError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import DataPrep, JobOwner


class ControlJob:
    """Job control: cancel, pause and resume, for jobs of every kind.

    Args:
        owners: who owns the jobs of each kind.
    """

    def __init__(
        self,
        owners: Mapping[str, JobOwner],
        jobs: JobIndex,
        datasets: DatasetCatalogue,
        files: DataPrep,
    ) -> None:
        self._owners = owners
        self._jobs = jobs
        self._datasets = datasets
        self._files = files

    async def __call__(
        self, job_id: str, desired_state: JobDesiredState.ValueType, caller: Caller
    ) -> JobRecord:
        """Record it under the caller's name; the job's state follows when its worker has acted.

        Args:
            desired_state: RUN resumes a paused job and runs a failed one again; a cancel is final.

        Returns:
            The job with its new desired state.

        Raises:
            NotFoundError: no such job, or another tenant's.
            PreconditionError: the job has ended so that the desired state cannot come true, what it
            is made
                from was deleted since it failed, or jobs of its kind cannot be steered.
            UnavailableError: the owner or the bus does not answer; nothing was recorded.
        """
        record = self._jobs.get(caller.tenant, job_id)
        kind = record.requested.kind
        owner = self._owners.get(kind)
        if owner is None:
            raise PreconditionError(f"jobs of kind {kind} cannot be cancelled, paused or resumed")
        if desired_state == JOB_DESIRED_STATE_RUN and record.state.status == JOB_STATUS_FAILED:
            await self._refuse_without_inputs(record.requested)
        sequence = await owner.control(
            tenant=caller.tenant,
            job_id=job_id,
            desired_state=desired_state,
            requested_by=caller.subject,
        )
        await until_seen(self._jobs, sequence)
        return self._jobs.get(caller.tenant, job_id)

    async def _refuse_without_inputs(self, request: JobRequested) -> None:
        """A failed job holds nothing; what it was made from may be gone by now."""
        tenant = request.tenant
        for each in sorted(input_ids(request)):
            gone = any(self._datasets.has_retired(owner, each) for owner in (tenant, SHARED_TENANT))
            if each.startswith("file-"):
                try:
                    await self._files.get(tenant=tenant, file_id=each)
                except NotFoundError:
                    gone = True
            if gone:
                raise PreconditionError(
                    f"job {request.job_id} cannot run again: {each} was deleted. Create a new job"
                )
