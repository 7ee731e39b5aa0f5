"""Use case: the datasets that a spec names are there, or are being made."""

from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import DATASET, dataset_id_of
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import no_such

from modelmill_trainer.retry_until_known import soon

LEARNED, VALIDATED = "dataset", "validation_dataset"
"""What fields of a spec that name a dataset, or the job that makes it, begin with."""


class Datasets(Protocol):
    def get(self, tenant: str, dataset_id: str, *, include_retired: bool = False) -> DatasetReady:
        """Raises NotFoundError."""
        ...


class Jobs(Protocol):
    async def is_known(self, *, tenant: str, kind: str, job_id: str) -> bool:
        """Raises InvalidInputError for what is no id, UnavailableError."""
        ...


def ids_of(spec: TrainSpec, role: str) -> tuple[str, str]:
    """The dataset of that role and the job that makes it; empty where they are not named."""
    return getattr(spec, f"{role}_id"), getattr(spec, f"{role}_job_id")


class NamedDatasets:
    """What is wrong with a name is appended to `errors`, or to `missing` where there is nothing of
    that name; an id that follows from a job's is filled in."""

    def __init__(self, datasets: Datasets, jobs: Jobs) -> None:
        self._datasets = datasets
        self._jobs = jobs

    async def rows_to_learn(
        self, tenant: str, wanted: TrainSpec, errors: list[str], missing: list[str]
    ) -> int | None:
        """Rows of the train split, where they are known."""
        dataset = await self._find(tenant, wanted, LEARNED, errors, missing)
        return dataset.counts.get("train") if dataset is not None else None

    async def rows_to_validate(
        self, tenant: str, wanted: TrainSpec, errors: list[str], missing: list[str]
    ) -> None:
        """See that what takes the place of the valid split is there, and goes with the rest."""
        if not any(ids_of(wanted, VALIDATED)):
            return
        await self._find(tenant, wanted, VALIDATED, errors, missing)
        if wanted.validation_dataset_id == wanted.dataset_id:
            errors.append(
                "validation_dataset_id: is the dataset that is trained on. Leave it out to "
                "validate on its valid split"
            )
        if wanted.HasField("teacher_answers"):
            errors.append(
                "validation_dataset_id: does not go with teacher_answers, which are learned from "
                "and validated on the dataset's own rows. Leave one of them out"
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
        """The dataset; None for one that a job makes.

        Raises:
            NotFoundError: neither is known.
            InvalidInputError: job and dataset do not belong together, or the job's id is none.
        """
        dataset_id, job_id = ids_of(wanted, role)
        if not job_id:
            return await soon(lambda: self._datasets.get(tenant, dataset_id))
        made = dataset_id_of(job_id)
        if dataset_id and dataset_id != made:
            raise InvalidInputError(
                f"dataset {dataset_id[:80]!r} is not made by job {job_id[:80]!r}"
            )
        setattr(wanted, f"{role}_id", made)
        if not await self._jobs.is_known(tenant=tenant, kind=DATASET, job_id=job_id):
            raise no_such("dataset job", job_id, "/v1/jobs?kind=dataset")
        # Not looked up even where it is there by now: a repeat must ask for the same run.
        return None
