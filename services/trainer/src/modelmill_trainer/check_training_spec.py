"""Check of a fine-tuning spec as a whole: its names, its choices, and what it needs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import (
    TRAINING_OBJECTIVE_DISTILLATION,
    TrainSpec,
)
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_service_kit.machine_size import MachineSize
from modelmill_token_files.tokenizer_digest import Reads, reads_alike

from modelmill_trainer.choices import (
    OBJECTIVES,
    decide_spec,
    decided_spec,
    distribution_of,
    is_auto,
    limits_of,
    set_method,
    write_distribution,
)
from modelmill_trainer.domain.distribution import Distribution, divided_needs, undivided
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.limits import MachinePrice, check_limits
from modelmill_trainer.domain.method_choice import choose_method
from modelmill_trainer.domain.methods import (
    ANSWERS,
    FOREIGN_TEACHER,
    FULL,
    LOW_RANK,
    OTHER_TEACHER,
)
from modelmill_trainer.domain.resource_estimate import needed_memory, training_needs
from modelmill_trainer.inherit_adapter_shape import ADAPTER_FORM, InheritAdapterShape
from modelmill_trainer.named_datasets import NamedDatasets

TRAINABLE_FORM = "safetensors"
MAX_NAME_CHARACTERS = 64
MAX_PAIRS, MAX_KEY_CHARACTERS, MAX_VALUE_CHARACTERS = 16, 64, 512
"""Of metadata, as OpenAI bounds it."""
WHY_NO_TEACHER = (
    "teacher_answers needs an inference service, and none is configured. Set "
    "TRAINER_INFERENCE_ADDRESS"
)


@dataclass(frozen=True)
class CheckedTraining:
    """A spec that can be ordered."""

    spec: TrainSpec
    """With every default, as it is recorded."""
    choices: HyperParameters
    distribution: Distribution | None
    base: ModelReady
    dataset: DatasetReady | None
    """Training rows; None while a job makes them."""
    needs: MachineSize
    """What a worker must have."""
    teacher_bytes: int = 0
    """Of a teacher whose logits are learned; 0 without one."""


class Teachers:
    """Compares tokenizer files of teacher and base; weights are not read."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def check(
        self, base: ModelReady, teacher: ModelReady, errors: list[str], missing: list[str]
    ) -> None:
        """Append to `errors` or `missing` if tokenizer or chat template differ."""
        try:
            alike = await asyncio.to_thread(
                reads_alike, await self._files(base), await self._files(teacher)
            )
        except NotFoundError as error:
            missing.append(error.message)
            return
        if not alike:
            errors.append(
                f"teacher_version_id: {teacher.version_id}: {FOREIGN_TEACHER}. {OTHER_TEACHER}"
            )

    async def _files(self, model: ModelReady) -> Reads:
        manifest = await asyncio.to_thread(self._store.manifest, model.digest)
        names = {entry.path for entry in manifest.files}

        def read(name: str) -> bytes:
            return self._store.content(model.digest, name) if name in names else b""

        return read


class CheckTrainingSpec:
    """Validates a whole spec and reports every error at once.

    Args:
        machine: The worker size as far as this process knows; method AUTO depends on it.
        on_cluster: Whether ranks of distributed runs run on Kubernetes instead of a worker.
        can_ask: Whether an inference service is configured.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        datasets: NamedDatasets,
        price: MachinePrice,
        inherit_adapter_shape: InheritAdapterShape,
        teachers: Teachers,
        *,
        machine: MachineSize,
        on_cluster: bool = False,
        can_ask: bool = False,
    ) -> None:
        self._on_cluster = on_cluster
        self._can_ask = can_ask
        self._models = models
        self._datasets = datasets
        self._machine = machine
        self._price = price
        self._inherit_adapter_shape = inherit_adapter_shape
        self._teachers = teachers

    async def __call__(self, tenant: str, spec: TrainSpec) -> CheckedTraining:
        """Check it, and write out its defaults.

        Raises:
            PreconditionError: teacher_answers is set and no inference service is configured.
            NotFoundError: base model, dataset or dataset job is unknown, and nothing else is wrong.
            InvalidInputError: the spec is wrong; lists every error.
            UnavailableError: what it names is not known here, and the bus does not answer.
        """
        if spec.HasField("teacher_answers") and not self._can_ask:
            raise PreconditionError(WHY_NO_TEACHER)
        wanted = TrainSpec()
        wanted.CopyFrom(spec)
        wanted.ClearField("method_reason")
        return await self._checked(tenant, wanted)

    async def _checked(self, tenant: str, wanted: TrainSpec) -> CheckedTraining:
        """Fills the dataset id and the method that AUTO resolves to into `wanted`."""
        errors = _errors_of_names(wanted)
        missing: list[str] = []
        base = await self._model(tenant, wanted.base_version_id, "base model", errors, missing)
        await self._inherit_adapter_shape(tenant, wanted, errors, missing)
        teacher = await self._teacher_weights(tenant, wanted, errors, missing)
        if base and teacher and base.form == teacher.form == TRAINABLE_FORM:
            await self._teachers.check(base, teacher, errors, missing)
        dataset = await self._datasets.training(tenant, wanted, errors, missing)
        await self._datasets.check_validation(tenant, wanted, errors, missing)
        if is_auto(wanted):
            rows = dataset.counts.get("train") if dataset is not None else None
            self._choose_method(wanted, rows, base.size_bytes if base else 0)
        try:
            check_limits(limits_of(wanted), has_price=self._price.per_hour > 0)
        except InvalidInputError as error:
            errors += error.errors
        try:
            choices = decide_spec(wanted, context_tokens=base.context_tokens if base else None)
            distribution = distribution_of(wanted, batch_size=choices.batch_size)
        except InvalidInputError as error:
            raise InvalidInputError([*errors, *error.errors, *missing]) from error
        errors += undivided(choices, distribution)
        if errors:
            raise InvalidInputError([*errors, *missing])
        if missing or base is None:
            raise NotFoundError("; ".join(missing))
        decided = decided_spec(wanted, choices)
        write_distribution(decided, distribution)
        teacher_bytes = teacher.size_bytes if teacher else 0
        needs = training_needs(choices, base.size_bytes, teacher_bytes)
        needs = divided_needs(needs, distribution, on_cluster=self._on_cluster)
        return CheckedTraining(decided, choices, distribution, base, dataset, needs, teacher_bytes)

    async def _model(
        self, tenant: str, version_id: str, role: str, errors: list[str], missing: list[str]
    ) -> ModelReady | None:
        """Look a version up; its errors are appended to `errors` or `missing`."""
        try:
            found = await self._models.look(
                lambda: self._models.get(tenant, version_id), MODEL_READY
            )
        except NotFoundError as error:
            missing.append(error.message)
            return None
        errors += _errors_of_form(found, role)
        return found

    async def _teacher_weights(
        self, tenant: str, wanted: TrainSpec, errors: list[str], missing: list[str]
    ) -> ModelReady | None:
        """The teacher or, of a LoRA adapter, its base, if the run loads its weights; a teacher
        that inference serves has any form."""
        if not wanted.teacher_version_id:
            return None
        unread: list[str] = []
        teacher = await self._model(tenant, wanted.teacher_version_id, "teacher", unread, missing)
        if wanted.objective != TRAINING_OBJECTIVE_DISTILLATION or teacher is None:
            return None
        if teacher.form != ADAPTER_FORM or teacher.method not in LOW_RANK:
            errors += unread
            return teacher
        return await self._model(tenant, teacher.parent_version_id, "teacher", errors, missing)

    def _choose_method(self, wanted: TrainSpec, rows: int | None, base_bytes: int) -> None:
        choice = choose_method(
            rows=rows,
            objective=OBJECTIVES.get(wanted.objective, ANSWERS),
            memory_bytes=self._machine.memory_bytes,
            full_run_bytes=needed_memory(FULL, base_bytes),
        )
        set_method(wanted, choice.method, choice.reason)


def _errors_of_names(spec: TrainSpec) -> list[str]:
    errors = []
    if not spec.base_version_id:
        errors.append("base_version_id is missing")
    if not spec.dataset_id and not spec.dataset_job_id:
        errors.append("dataset_id is missing")
    if len(spec.name) > MAX_NAME_CHARACTERS:
        errors.append(f"name has more than {MAX_NAME_CHARACTERS} characters")
    return [*errors, *_errors_of_metadata(spec.metadata)]


def _errors_of_metadata(metadata: Mapping[str, str]) -> list[str]:
    errors = []
    if len(metadata) > MAX_PAIRS:
        errors.append(f"metadata has more than {MAX_PAIRS} pairs")
    if any(len(key) > MAX_KEY_CHARACTERS for key in metadata):
        errors.append(f"metadata has a key of more than {MAX_KEY_CHARACTERS} characters")
    if any(len(value) > MAX_VALUE_CHARACTERS for value in metadata.values()):
        errors.append(f"metadata has a value of more than {MAX_VALUE_CHARACTERS} characters")
    return errors


def _errors_of_form(model: ModelReady, role: str) -> list[str]:
    if model.form == TRAINABLE_FORM:
        return []
    return [
        f"{role} {model.version_id} is of form {model.form}; training needs one of form "
        f"{TRAINABLE_FORM}"
    ]
