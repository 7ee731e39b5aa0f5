"""Use case: look up models and datasets of a training spec when its job starts."""

from dataclasses import dataclass

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_CANCELLED, JOB_STATUS_FAILED
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_jobs.errors import JobFailed
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_registry.manifest import Manifest
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.choices import decide_spec, distribution_of
from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import DISTILLATION
from modelmill_trainer.domain.resource_estimate import training_needs
from modelmill_trainer.inherit_adapter_shape import ADAPTER_FORM
from modelmill_trainer.named_datasets import TRAINING, VALIDATION, ids_of
from modelmill_trainer.stored_records import JobReader


@dataclass(frozen=True)
class TrainingInputs:
    """Models, datasets and hyper-parameters of one run."""

    base: ModelReady
    dataset: DatasetReady
    choices: HyperParameters
    distribution: Distribution | None = None
    teacher: ModelReady | None = None
    teacher_base: ModelReady | None = None
    """Base of a teacher that is an adapter and whose logits are learned."""
    adapter: ModelReady | None = None
    """LoRA adapter to continue from."""
    validation: DatasetReady | None = None
    """Dataset whose rows replace the valid split."""
    rows: Manifest | None = None
    """Artifact with the teacher's answers, which replace the dataset's rows."""

    @property
    def needs(self) -> MachineSize:
        """Estimated machine size of one process."""
        teacher = self.teacher_base or self.loaded_teacher
        teacher_bytes = teacher.size_bytes if teacher else 0
        return training_needs(self.choices, self.base.size_bytes, teacher_bytes)

    @property
    def loaded_teacher(self) -> ModelReady | None:
        """The teacher, if the run itself loads its weights (objective distillation)."""
        return self.teacher if self.choices.objective == DISTILLATION else None

    @property
    def context_tokens(self) -> int:
        """Context of the trained model, less the tokens of its soft prompt."""
        return max(self.base.context_tokens - self.choices.soft_prompt_tokens, 0)

    @property
    def made_from(self) -> dict[str, str]:
        """Digest by role, for manifests."""
        roles = {"base": self.base.digest, "dataset": self.dataset.digest}
        if self.teacher is not None:
            roles["teacher"] = self.teacher.digest
        if self.teacher_base is not None:
            roles["teacher_base"] = self.teacher_base.digest
        if self.adapter is not None:
            roles["adapter"] = self.adapter.digest
        if self.validation is not None:
            roles["validation"] = self.validation.digest
        return roles if self.rows is None else roles | {"rows": self.rows.digest}


def adapted_base(teacher: ModelReady) -> str:
    """Version id of the base of an adapter; empty for a whole model."""
    return teacher.parent_version_id if teacher.form == ADAPTER_FORM else ""


class FindTrainingInputs:
    """Looks inputs up, and reports why a missing one is missing."""

    def __init__(self, models: ModelCatalogue, datasets: DatasetCatalogue, jobs: JobReader) -> None:
        self._models = models
        self._datasets = datasets
        self._jobs = jobs

    async def can_begin(self, tenant: str, spec: TrainSpec) -> bool:
        """False while a dataset job is still running."""
        for role in (TRAINING, VALIDATION):
            dataset_id, job_id = ids_of(spec, role)
            if not job_id or self._datasets.was_announced(dataset_id):
                continue
            state = await self._jobs.state(job_id)
            if state is None or state.status not in (JOB_STATUS_FAILED, JOB_STATUS_CANCELLED):
                return False
        return True

    async def __call__(self, tenant: str, spec: TrainSpec) -> TrainingInputs:
        """Look up all inputs.

        Raises:
            JobFailed: a dataset job failed, an input was retired, or the spec is invalid.
            UnavailableError: an input is not known here, and the bus does not answer.
        """
        dataset = await self._dataset(tenant, spec, TRAINING)
        validation = None
        if spec.validation_dataset_id:
            validation = await self._dataset(tenant, spec, VALIDATION)
        try:
            base = await self._version(tenant, spec.base_version_id)
            adapter = await self._adapter(tenant, spec)
            choices = decide_spec(spec, context_tokens=base.context_tokens)
            distribution = distribution_of(spec, batch_size=choices.batch_size)
        except NotFoundError as error:
            raise JobFailed("BASE_GONE", error.message, "Choose another base model.") from error
        except InvalidInputError as error:
            raise JobFailed("BAD_SPEC", error.message, "Submit the job again.") from error
        teacher = await self._teacher(tenant, spec.teacher_version_id)
        teacher_base = None
        if teacher is not None and choices.objective == DISTILLATION:
            teacher_base = await self._teacher(tenant, adapted_base(teacher))
        return TrainingInputs(
            base,
            dataset,
            choices,
            distribution,
            teacher=teacher,
            teacher_base=teacher_base,
            adapter=adapter,
            validation=validation,
        )

    async def _adapter(self, tenant: str, spec: TrainSpec) -> ModelReady | None:
        if not spec.adapter_version_id:
            return None
        return await self._version(tenant, spec.adapter_version_id)

    async def _version(self, tenant: str, version_id: str) -> ModelReady:
        return await self._models.look(lambda: self._models.get(tenant, version_id), MODEL_READY)

    async def _dataset(self, tenant: str, spec: TrainSpec, role: str) -> DatasetReady:
        dataset_id, job_id = ids_of(spec, role)
        try:
            return await self._datasets.look(
                lambda: self._datasets.get(tenant, dataset_id), DATASET_READY
            )
        except NotFoundError as error:
            if self._datasets.was_announced(dataset_id):
                raise JobFailed("DATASET_GONE", error.message, "Make it again.") from None
            raise await self._no_dataset(dataset_id, job_id) from None

    async def _teacher(self, tenant: str, version_id: str) -> ModelReady | None:
        if not version_id:
            return None
        try:
            return await self._version(tenant, version_id)
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
