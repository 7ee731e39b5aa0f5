"""Use case: validate a fine-tuning spec and queue a job of kind train."""

from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL, JobPriority
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import TRAIN, prefix_of
from modelmill_jobs.submit import JobQueue, SubmittedJob

from modelmill_trainer.check_training_spec import CheckTrainingSpec


class CreateFineTuningJob:
    """Queues what passes the check of the whole spec."""

    def __init__(self, check: CheckTrainingSpec, queue: JobQueue) -> None:
        self._check = check
        self._queue = queue

    async def __call__(
        self,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        spec: TrainSpec,
        priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL,
    ) -> SubmittedJob:
        """Check the whole spec, write out its defaults, and queue the job.

        Raises:
            PreconditionError, NotFoundError, InvalidInputError: as `CheckTrainingSpec`.
            AlreadyExistsError: the key was used for another spec.
            UnavailableError: the bus does not answer; nothing was accepted.
        """
        checked = await self._check(tenant, spec)
        return await self._queue.submit(
            kind=TRAIN,
            prefix=prefix_of(TRAIN),
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=checked.spec,
            priority=priority,
            needs=checked.needs,
        )
