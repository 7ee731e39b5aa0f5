"""Use case: look up models and datasets of a training spec when its job starts."""

from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_CANCELLED, JOB_STATUS_FAILED, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_jobs.errors import JobFailed
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_trainer.choices import decide_spec
from modelmill_trainer.distributions import distribution_of
from modelmill_trainer.inherit_adapter_shape import Models
from modelmill_trainer.named_datasets import TRAINING, VALIDATION, Datasets, ids_of
from modelmill_trainer.retry_until_known import retry_until_known
from modelmill_trainer.training_inputs import TrainingInputs


class JobStates(Protocol):
    async def state(self, job_id: str) -> JobState | None:
        """The newest JobState; None before the first claim."""
        ...


class FindTrainingInputs:
    """Looks inputs up, and reports why a missing one is missing."""

    def __init__(self, models: Models, datasets: Datasets, jobs: JobStates) -> None:
        self._models = models
        self._datasets = datasets
        self._jobs = jobs

    async def can_begin(self, tenant: str, spec: TrainSpec) -> bool:
        """False while a dataset job is still running."""
        for role in (TRAINING, VALIDATION):
            dataset_id, job_id = ids_of(spec, role)
            if not job_id or self._dataset_or_none(tenant, dataset_id) is not None:
                continue
            state = await self._jobs.state(job_id)
            if state is None or state.status not in (JOB_STATUS_FAILED, JOB_STATUS_CANCELLED):
                return False
        return True

    async def __call__(self, tenant: str, spec: TrainSpec) -> TrainingInputs:
        """Look up all inputs.

        Raises:
            JobFailed: a dataset job failed, an input was retired, or the spec is invalid.
        """
        dataset = await self._dataset(tenant, spec, TRAINING)
        validation = None
        if spec.validation_dataset_id:
            validation = await self._dataset(tenant, spec, VALIDATION)
        try:
            base = await retry_until_known(lambda: self._models.get(tenant, spec.base_version_id))
            adapter = await self._adapter(tenant, spec)
            choices = decide_spec(spec, context_tokens=base.context_tokens)
            distribution = distribution_of(spec, batch_size=choices.batch_size)
        except NotFoundError as error:
            raise JobFailed("BASE_GONE", error.message, "Choose another base model.") from error
        except InvalidInputError as error:
            raise JobFailed("BAD_SPEC", error.message, "Submit the job again.") from error
        teacher = await self._teacher(tenant, spec)
        return TrainingInputs(base, dataset, choices, distribution, teacher, adapter, validation)

    async def _adapter(self, tenant: str, spec: TrainSpec) -> ModelReady | None:
        if not spec.adapter_version_id:
            return None
        return await retry_until_known(lambda: self._models.get(tenant, spec.adapter_version_id))

    async def _dataset(self, tenant: str, spec: TrainSpec, role: str) -> DatasetReady:
        dataset_id, job_id = ids_of(spec, role)
        found = self._dataset_or_none(tenant, dataset_id)
        if found is None:
            raise await self._no_dataset(dataset_id, job_id)
        return found

    def _dataset_or_none(self, tenant: str, dataset_id: str) -> DatasetReady | None:
        try:
            # Retired ones too: the dataset existed when the job was accepted.
            return self._datasets.get(tenant, dataset_id, include_retired=True)
        except NotFoundError:
            return None

    async def _teacher(self, tenant: str, spec: TrainSpec) -> ModelReady | None:
        if not spec.teacher_version_id:
            return None
        try:
            return await retry_until_known(
                lambda: self._models.get(tenant, spec.teacher_version_id)
            )
        except NotFoundError as error:
            raise JobFailed("TEACHER_GONE", error.message, "Choose another teacher.") from error

    async def _no_dataset(self, dataset_id: str, job_id: str) -> JobFailed:
        state = await self._jobs.state(job_id) if job_id else None
        if state is None:
            return JobFailed("DATASET_GONE", f"no dataset {dataset_id!r}", "Make it again.")
        reason = state.error.message or "it was cancelled"
        return JobFailed(
            "DATASET_FAILED",
            f"the dataset was not made: job {job_id} ended without it: {reason}",
            state.error.remedy or "Make the dataset again.",
        )
