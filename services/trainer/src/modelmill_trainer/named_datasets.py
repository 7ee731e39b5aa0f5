"""Use case: check that the datasets of a spec exist, or that jobs are making them."""

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import DATASET, dataset_id_of
from modelmill_bus.subjects import DATASET_READY
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import no_such

from modelmill_trainer.stored_records import JobReader

TRAINING, VALIDATION = "dataset", "validation_dataset"
"""Prefixes of the spec's fields `<role>_id` and `<role>_job_id`."""


def ids_of(spec: TrainSpec, role: str) -> tuple[str, str]:
    """Dataset id and dataset job id of a role; empty if not given."""
    return getattr(spec, f"{role}_id"), getattr(spec, f"{role}_job_id")


class NamedDatasets:
    """Appends errors to `errors` or `missing`, and fills in dataset ids that follow from job
    ids.

    Args:
        are_ordered: Whether the jobs that make datasets must be there.
    """

    def __init__(
        self, datasets: DatasetCatalogue, jobs: JobReader, *, are_ordered: bool = True
    ) -> None:
        self._datasets = datasets
        self._jobs = jobs
        self._are_ordered = are_ordered

    async def training(
        self, tenant: str, wanted: TrainSpec, errors: list[str], missing: list[str]
    ) -> DatasetReady | None:
        """Check the training dataset; returns it, if it is known."""
        return await self._find(tenant, wanted, TRAINING, errors, missing)

    async def check_validation(
        self, tenant: str, wanted: TrainSpec, errors: list[str], missing: list[str]
    ) -> None:
        """Check the validation dataset, if one is given."""
        if not any(ids_of(wanted, VALIDATION)):
            return
        await self._find(tenant, wanted, VALIDATION, errors, missing)
        if wanted.validation_dataset_id == wanted.dataset_id:
            errors.append(
                "validation_dataset_id equals dataset_id. Leave it out to validate on the "
                "dataset's valid split"
            )
        if wanted.HasField("teacher_answers"):
            errors.append(
                "validation_dataset_id cannot be combined with teacher_answers, which validate "
                "on the dataset's own rows. Leave one of them out"
            )

    async def _find(
        self, tenant: str, wanted: TrainSpec, role: str, errors: list[str], missing: list[str]
    ) -> DatasetReady | None:
        try:
            return await self._ready(tenant, wanted, role)
        except NotFoundError as error:
            missing.append(error.message)
        except InvalidInputError as error:
            errors += error.errors
        return None

    async def _ready(self, tenant: str, wanted: TrainSpec, role: str) -> DatasetReady | None:
        """The dataset; None if a job makes it.

        Raises:
            NotFoundError: dataset or job is unknown.
            InvalidInputError: the job makes another dataset, or its id is malformed.
            UnavailableError: the dataset is not known here, and the bus does not answer.
        """
        dataset_id, job_id = ids_of(wanted, role)
        if not job_id:
            return await self._datasets.look(
                lambda: self._datasets.get(tenant, dataset_id), DATASET_READY
            )
        made = dataset_id_of(job_id)
        if dataset_id and dataset_id != made:
            raise InvalidInputError(
                f"dataset {dataset_id[:80]!r} is not made by job {job_id[:80]!r}. Leave one out"
            )
        setattr(wanted, f"{role}_id", made)
        if not self._are_ordered:
            return self._known(tenant, made)
        if not await self._jobs.is_known(tenant=tenant, kind=DATASET, job_id=job_id):
            raise no_such("dataset job", job_id, "/v1/jobs?kind=dataset")
        # Not looked up, even if it exists by now: a retry must produce the same spec.
        return None

    def _known(self, tenant: str, dataset_id: str) -> DatasetReady | None:
        try:
            return self._datasets.get(tenant, dataset_id)
        except NotFoundError:
            return None
