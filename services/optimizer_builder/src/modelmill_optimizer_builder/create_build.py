"""Use case: validate a build spec and queue a job of kind optimize."""

from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL, JobPriority
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.kinds import OPTIMIZE, prefix_of
from modelmill_jobs.submit import JobQueue, SubmittedJob

from modelmill_optimizer_builder.check_build_spec import CheckBuildSpec


class CreateBuild:
    """Queues builds and searches whose specs are right."""

    def __init__(self, check: CheckBuildSpec, queue: JobQueue) -> None:
        self._check = check
        self._queue = queue

    async def __call__(
        self,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        spec: BuildSpec,
        priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL,
    ) -> SubmittedJob:
        """Check the spec, then queue the job.

        Raises:
            InvalidInputError, NotFoundError: As `CheckBuildSpec`.
            AlreadyExistsError: The key was used for another spec.
            UnavailableError: The bus does not answer; nothing was accepted.
        """
        checked = await self._check(tenant, spec)
        return await self._queue.submit(
            kind=OPTIMIZE,
            prefix=prefix_of(OPTIMIZE),
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=checked.spec,
            priority=priority,
            needs=checked.needs,
        )
