"""What an order of a training means: its names looked up, its files made datasets."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, RowMapping
from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JobPriority,
)
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import (
    TRAINING_OBJECTIVE_ANSWERS,
    TRAINING_OBJECTIVE_DISTILLATION,
    TRAINING_OBJECTIVE_DPO,
    TRAINING_OBJECTIVE_KTO,
    TRAINING_OBJECTIVE_TEXT,
    Distribution,
    HyperParameters,
    TeacherAnswers,
    TrainingLimits,
    TrainingMethod,
    TrainingObjective,
    TrainSpec,
)
from modelmill_bus.envelope import text_of
from modelmill_bus.kinds import DATASET, dataset_id_of
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import ModelNotAllowedError
from modelmill_gateway.ordering.manage_datasets import ManageDatasets
from modelmill_gateway.routing.find_model import FindModel

CONVERSATIONS = RowMapping(messages_column="messages")
"""How OpenAI's training files become rows."""
MAPPINGS = {
    TRAINING_OBJECTIVE_TEXT: RowMapping(layout="text"),
    TRAINING_OBJECTIVE_DPO: RowMapping(layout="preference"),
    TRAINING_OBJECTIVE_KTO: RowMapping(layout="preference"),
}
"""How a file does where conversations are not what is learned from."""

DATASET_KEYS = {"training_file": "dataset", "validation_file": "validation"}
"""What the key of the order of a file's dataset ends with, after the caller's."""


@dataclass(frozen=True)
class FineTuningOrder:
    """Requested fine-tuning job.

    `training_file` is a file of conversations or a dataset; `name` empty is made from the base's.
    """

    model: str
    training_file: str
    name: str
    method: TrainingMethod.ValueType
    hyper_parameters: HyperParameters
    objective: TrainingObjective.ValueType = TRAINING_OBJECTIVE_ANSWERS
    teacher: str = ""
    """A model's name."""
    teacher_answers: TeacherAnswers | None = None
    """How the teacher answers the rows; None where it does not."""
    evaluate: bool = True
    limits: TrainingLimits = field(default_factory=TrainingLimits)
    validation_file: str = ""
    """Whose rows take the place of the valid split, as `training_file`; empty for none."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The caller's own words about the job."""
    distribution: Distribution | None = None
    """How the run is divided among processes; None for a single one."""
    priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL


class DatasetOfFile(Protocol):
    """Where the dataset of a file comes from."""

    async def __call__(
        self,
        spec: DatasetSpec,
        caller: Caller,
        *,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> str:
        """The id of the job that makes it."""


@dataclass(frozen=True)
class _Source:
    """What is trained on; `job_id` is the job that still makes it, or empty."""

    dataset_id: str
    job_id: str


_NOTHING = _Source("", "")


@dataclass(frozen=True)
class _Place:
    """An order, and where its datasets come from."""

    order: FineTuningOrder
    caller: Caller
    dataset_of_file: DatasetOfFile
    idempotency_key: str


class ResolveFineTuning:
    """Looks up what orders of trainings name; of files, datasets are made."""

    def __init__(
        self,
        find_model: FindModel,
        find_dataset: ManageDatasets,
        datasets: DatasetCatalogue,
        jobs: JobIndex,
    ) -> None:
        self._find_model = find_model
        self._find_dataset = find_dataset
        self._datasets = datasets
        self._jobs = jobs

    async def __call__(
        self,
        order: FineTuningOrder,
        caller: Caller,
        dataset_of_file: DatasetOfFile,
        idempotency_key: str = "",
    ) -> TrainSpec:
        """The spec of an order.

        Raises:
            InvalidInputError: it names what cannot be trained.
            NotFoundError: a model, dataset or file is unknown.
            ModelNotAllowedError: the caller may not ask for the tuned model.
        """
        _check_files(order)
        start = await self._find_model.trainable(caller.tenant, order.model)
        teacher = await self._teacher(order, caller.tenant)
        name = _name_of(order, start.version, caller)
        place = _Place(order, caller, dataset_of_file, idempotency_key)
        source = await self._source(place, "training_file")
        validation = await self._source(place, "validation_file")
        return TrainSpec(
            base_version_id=start.base.version_id,
            adapter_version_id=start.adapter.version_id if start.adapter else "",
            dataset_id=source.dataset_id,
            dataset_job_id=source.job_id,
            validation_dataset_id=validation.dataset_id,
            validation_dataset_job_id=validation.job_id,
            metadata=order.metadata,
            name=name,
            method=order.method,
            hyper_parameters=order.hyper_parameters,
            evaluate=order.evaluate,
            objective=order.objective,
            teacher_version_id=teacher,
            teacher_answers=order.teacher_answers,
            limits=order.limits,
            distribution=order.distribution,
        )

    async def _teacher(self, order: FineTuningOrder, tenant: str) -> str:
        """The version that is meant: the one that is read, or served where it only answers."""
        if not order.teacher:
            return ""
        if order.teacher_answers is None or order.objective == TRAINING_OBJECTIVE_DISTILLATION:
            teacher = await self._find_model.trainable(tenant, order.teacher)
            return (teacher.adapter or teacher.base).version_id
        return (await self._find_model.servable(tenant, order.teacher)).version_id

    async def _source(self, place: _Place, field: str) -> _Source:
        order, caller = place.order, place.caller
        wanted: str = getattr(order, field)
        if field == "validation_file" and not wanted:
            return _NOTHING
        if wanted.startswith("ds-"):
            return await self._dataset(wanted, caller.tenant)
        if not wanted.startswith("file-"):
            raise InvalidInputError(f"{field}: must be the id of a file or a dataset")
        mapping = MAPPINGS.get(order.objective, CONVERSATIONS)
        key = place.idempotency_key and f"{place.idempotency_key}:{DATASET_KEYS[field]}"
        with said_of_rows(field):
            job_id = await place.dataset_of_file(
                DatasetSpec(file_id=wanted, mapping=mapping),
                caller,
                idempotency_key=self._dataset_key(wanted, mapping.layout, caller.tenant, key),
                priority=order.priority,
            )
        return _Source(dataset_id_of(job_id), job_id)

    async def _dataset(self, dataset_id: str, tenant: str) -> _Source:
        """The dataset, or the job that is still making it.

        Raises:
            NotFoundError: neither.
        """
        found = await self._find_dataset.one(tenant, dataset_id)
        if isinstance(found, JobRecord):
            return _Source(dataset_id, found.requested.job_id)
        return _Source(dataset_id, "")

    def _dataset_key(self, file_id: str, layout: str, tenant: str, idempotency_key: str) -> str:
        """The same for the same order, so that neither repeats nor refused orders pile up datasets.

        Without a key of the caller's, one file has one dataset for each layout, until the job that
        makes it fails or the dataset is deleted.
        """
        if idempotency_key:
            return idempotency_key
        ended = sum(
            text_of(job.requested.spec, "file_id") == file_id
            for job in self._jobs.list(tenant, DATASET)
            if job.state.status in (JOB_STATUS_FAILED, JOB_STATUS_CANCELLED)
            or self._datasets.has_retired(tenant, dataset_id_of(job.requested.job_id))
        )
        return f"fine-tuning:{layout and layout + ':'}{file_id}:{ended}"


def _check_files(order: FineTuningOrder) -> None:
    if order.validation_file == order.training_file:
        raise InvalidInputError(
            "validation_file: is the training file. Leave it out to validate on a part of that"
        )


def _name_of(order: FineTuningOrder, start: ModelReady, caller: Caller) -> str:
    """What the tuned model is called: people may be asking for a model by that name already.

    Raises:
        ModelNotAllowedError: the caller may not ask for it.
    """
    name = order.name or f"{start.name}-tuned"
    if not caller.may_ask(name):
        raise ModelNotAllowedError(
            f"the tuned model would be called {name[:80]!r}, which the key may not ask for."
            " Give it another name"
        )
    return name


UNKNOWN_COLUMN = "unknown column"
"""How data-prep begins where the file's rows do not have what a mapping reads."""


@contextmanager
def said_of_rows(field: str) -> Iterator[None]:
    """Within the block, a file of other rows is refused with the way to use it all the same."""
    try:
        yield
    except InvalidInputError as error:
        if not error.errors[0].startswith(UNKNOWN_COLUMN):
            raise
        raise InvalidInputError(
            f"{field}: {error.errors[0]}. Make a dataset of the file whose `mapping` says what a"
            " row becomes (POST /v1/datasets, shown by /v1/datasets/preview), and give its id here"
        ) from error
