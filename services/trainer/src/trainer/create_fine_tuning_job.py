"""Use case: a wish to fine-tune to an accepted job, with everything wrong said at once."""

import asyncio
from typing import Protocol

from google.protobuf.message import Message
from jobs.submit import SubmittedJob
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import (
    TRAINING_METHOD_FULL,
    TRAINING_METHOD_LORA,
    TRAINING_METHOD_UNSPECIFIED,
    HyperParameters,
    TrainSpec,
)
from service_kit.errors import InvalidInputError, NotFoundError

from trainer.domain import hyper_parameters as choices

KIND = "train"
BASE_FORM = "safetensors"
MAX_NAME_CHARACTERS = 64
ANNOUNCEMENT_SECONDS = 1.0
"""How long an unknown dataset is looked for before it is refused."""
ANNOUNCEMENT_LOOKS = 10
METHODS = {
    TRAINING_METHOD_UNSPECIFIED: choices.LORA,
    TRAINING_METHOD_LORA: choices.LORA,
    TRAINING_METHOD_FULL: choices.FULL,
}


class Models(Protocol):
    def get(self, tenant: str, version_id: str) -> ModelReady:
        """Raises NotFoundError, naming the version."""
        ...


class Datasets(Protocol):
    def get(self, tenant: str, dataset_id: str) -> DatasetReady:
        """Raises NotFoundError, naming the dataset."""
        ...


class Queue(Protocol):
    async def submit(
        self,
        *,
        kind: str,
        prefix: str,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        spec: Message,
    ) -> SubmittedJob:
        """Raises AlreadyExistsError and UnavailableError."""
        ...


class CreateFineTuningJob:
    """Accepts jobs of kind train."""

    def __init__(self, models: Models, datasets: Datasets, queue: Queue) -> None:
        self._models = models
        self._datasets = datasets
        self._queue = queue

    async def __call__(
        self, *, tenant: str, requested_by: str, idempotency_key: str, spec: TrainSpec
    ) -> SubmittedJob:
        """Check the spec and what it names, then queue the job.

        Raises:
            NotFoundError: The base model or the dataset is unknown.
            InvalidInputError: The spec is wrong; lists every error.
            AlreadyExistsError: The key was used for another spec.
            UnavailableError: The bus does not answer; nothing was accepted.
        """
        base = self._models.get(tenant, spec.base_version_id)
        if not spec.dataset_job_id:
            await self._await_dataset(tenant, spec.dataset_id)
        full = TrainSpec()
        full.CopyFrom(spec)
        full.name = spec.name or f"{base.name}-tuned"
        _decide(full, base)
        return await self._queue.submit(
            kind=KIND,
            prefix="ftjob",
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=full,
        )

    async def _await_dataset(self, tenant: str, dataset_id: str) -> None:
        """Raises NotFoundError; a dataset whose job has just succeeded is announced in a moment."""
        for _ in range(ANNOUNCEMENT_LOOKS):
            try:
                self._datasets.get(tenant, dataset_id)
            except NotFoundError:
                await asyncio.sleep(ANNOUNCEMENT_SECONDS / ANNOUNCEMENT_LOOKS)
            else:
                return
        self._datasets.get(tenant, dataset_id)


def decided_choices(
    spec: TrainSpec, *, context_tokens: int | None = None
) -> choices.HyperParameters:
    """The run that a spec asks for, defaults filled in.

    Raises:
        InvalidInputError: lists every choice that is wrong.
    """
    given = {
        field.name: getattr(spec.hyper_parameters, field.name)
        for field in HyperParameters.DESCRIPTOR.fields
    }
    method = METHODS.get(spec.method, str(spec.method))
    return choices.decide(method, given, context_tokens=context_tokens)


def _decide(spec: TrainSpec, base: ModelReady) -> None:
    """Write every choice out, so that a later default does not change an old job."""
    errors = []
    if base.form != BASE_FORM:
        errors.append(
            f"base model {base.version_id} is of form {base.form}; only {BASE_FORM} can be trained"
        )
    if len(spec.name) > MAX_NAME_CHARACTERS:
        errors.append(f"name must be at most {MAX_NAME_CHARACTERS} characters")
    try:
        decided = decided_choices(spec, context_tokens=base.context_tokens or None)
    except InvalidInputError as error:
        raise InvalidInputError(errors + error.errors) from None
    if errors:
        raise InvalidInputError(errors)
    for field in HyperParameters.DESCRIPTOR.fields:
        setattr(spec.hyper_parameters, field.name, getattr(decided, field.name))
    full = decided.method == choices.FULL
    spec.method = TRAINING_METHOD_FULL if full else TRAINING_METHOD_LORA
    if full:
        # They have no meaning here, and a choice without meaning is refused on the way back.
        for name in choices.LORA_FIELDS:
            spec.hyper_parameters.ClearField(name)  # type: ignore[arg-type]
