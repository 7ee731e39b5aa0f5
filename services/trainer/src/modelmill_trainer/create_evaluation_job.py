"""Use case: validate an evaluation spec and queue a job of kind evaluate."""

from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL, JobPriority
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.kinds import EVALUATE, prefix_of
from modelmill_jobs.submit import JobQueue, SubmittedJob

from modelmill_trainer.check_evaluation_spec import EVALUATION_NEEDS, CheckEvaluationSpec
from modelmill_trainer.domain.resource_estimate import evaluation_seconds


class CreateEvaluationJob:
    """Queues evaluations whose specs are right."""

    def __init__(self, check: CheckEvaluationSpec, queue: JobQueue) -> None:
        self._check = check
        self._queue = queue

    async def __call__(
        self,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        spec: EvaluationSpec,
        priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL,
    ) -> SubmittedJob:
        """Check the whole spec, write out its defaults, and queue the job.

        Raises:
            PreconditionError, NotFoundError, InvalidInputError: as `CheckEvaluationSpec`.
            AlreadyExistsError: the key was used for another spec.
            UnavailableError: the bus does not answer; nothing was accepted.
        """
        decided = await self._check(tenant, spec)
        return await self._queue.submit(
            kind=EVALUATE,
            prefix=prefix_of(EVALUATE),
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=decided,
            priority=priority,
            needs=EVALUATION_NEEDS,
            expected_seconds=self._expected_seconds(tenant, decided),
        )

    def _expected_seconds(self, tenant: str, spec: EvaluationSpec) -> float:
        """Upper estimate: the row count of a task is unknown, so max_rows is assumed."""
        rows = spec.max_rows * len(spec.tasks) + self._check.dataset_rows(tenant, spec)
        return evaluation_seconds(rows * (2 if spec.compare_to else 1), spec.max_new_tokens)
