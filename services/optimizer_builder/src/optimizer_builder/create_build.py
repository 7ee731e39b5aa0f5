"""Use case: a wish for a build to an accepted job, with everything wrong said at once."""

from typing import Protocol

from google.protobuf.message import Message
from jobs.submit import SubmittedJob
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from service_kit.errors import InvalidInputError

from optimizer_builder.domain.build_plan import (
    DEFAULT_MAX_ACCURACY_LOSS,
    Version,
    source_errors,
    spec_errors,
)

KIND = "optimize"


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


class CreateBuild:
    """Accepts jobs of kind optimize."""

    def __init__(self, models: Models, datasets: Datasets, queue: Queue) -> None:
        self._models = models
        self._datasets = datasets
        self._queue = queue

    async def __call__(
        self, *, tenant: str, requested_by: str, idempotency_key: str, spec: BuildSpec
    ) -> SubmittedJob:
        """Check the spec and what it names, then queue the job.

        Raises:
            NotFoundError: The source version or the dataset is unknown.
            InvalidInputError: The spec is wrong; lists every error.
            AlreadyExistsError: The key was used for another spec.
            UnavailableError: The bus does not answer; nothing was accepted.
        """
        errors = spec_errors(
            source_version_id=spec.source_version_id,
            target_form=spec.target_form,
            max_accuracy_loss=spec.max_accuracy_loss,
        )
        if spec.source_version_id:
            source = self._models.get(tenant, spec.source_version_id)
            errors += source_errors(as_version(source))
        if spec.dataset_id:
            self._datasets.get(tenant, spec.dataset_id)
        if errors:
            raise InvalidInputError(errors)
        full = BuildSpec()
        full.CopyFrom(spec)
        # Written out, so that a later default does not change an old job.
        full.max_accuracy_loss = spec.max_accuracy_loss or DEFAULT_MAX_ACCURACY_LOSS
        return await self._queue.submit(
            kind=KIND,
            prefix="job",
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=full,
        )


def as_version(ready: ModelReady) -> Version:
    """What the domain needs of a version."""
    return Version(ready.version_id, ready.form, ready.job_id, ready.dataset_id)
