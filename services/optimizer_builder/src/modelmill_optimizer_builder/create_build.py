"""Use case: validate a build spec and queue a job of kind optimize."""

from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL, JobPriority
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.kinds import OPTIMIZE, prefix_of
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_jobs.submit import JobQueue, SubmittedJob
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_registry.default_build import UNMERGED_METHODS
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_optimizer_builder.domain.build_plan import (
    DEFAULT_MAX_ACCURACY_LOSS,
    SourceVersion,
    source_errors,
    spec_errors,
)
from modelmill_optimizer_builder.domain.forms import ADAPTER, form_named
from modelmill_optimizer_builder.search_spec import (
    fill_defaults,
    is_search,
    least_size_error,
    search_errors,
)

SEARCH_NEEDS = "openvino-int8"
"""Form whose needs a search claims; forms that need more than its worker has are left out."""


class CreateBuild:
    """Validates the whole spec and reports every error at once.

    Args:
        has_price: Whether the service knows what its machine costs.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        datasets: DatasetCatalogue,
        queue: JobQueue,
        *,
        has_price: bool = False,
    ) -> None:
        self._has_price = has_price
        self._models = models
        self._datasets = datasets
        self._queue = queue

    async def __call__(
        self,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        spec: BuildSpec,
        priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL,
    ) -> SubmittedJob:
        """Check the spec, then queue the job.

        Raises:
            InvalidInputError: The spec is wrong; lists every error.
            NotFoundError: The version or the dataset is unknown, and nothing else is wrong.
            AlreadyExistsError: The key was used for another spec.
            UnavailableError: The bus does not answer; nothing was accepted.
        """
        source = await self._checked_source(tenant, spec)
        weights_bytes = await self._weights_bytes(tenant, source)
        if is_search(spec) and (errors := least_size_error(spec, weights_bytes)):
            raise InvalidInputError(errors)
        return await self._queue.submit(
            kind=OPTIMIZE,
            prefix=prefix_of(OPTIMIZE),
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=with_defaults(spec),
            priority=priority,
            needs=form_named(spec.target_form or SEARCH_NEEDS).needs(weights_bytes),
        )

    async def _weights_bytes(self, tenant: str, source: ModelReady) -> int:
        if source.form != ADAPTER:
            return source.size_bytes
        try:
            base = await self._version(tenant, source.base_version_id)
        except NotFoundError:
            return 0  # the job itself fails because its base is gone
        return base.size_bytes

    async def _version(self, tenant: str, version_id: str) -> ModelReady:
        return await self._models.look(lambda: self._models.get(tenant, version_id), MODEL_READY)

    async def _checked_source(self, tenant: str, spec: BuildSpec) -> ModelReady:
        """Validate the spec; returns the version to build from."""
        source = ModelReady()
        errors = spec_errors(
            source_version_id=spec.source_version_id,
            target_form=None if is_search(spec) else spec.target_form,
            max_accuracy_loss=spec.max_accuracy_loss,
        )
        errors += search_errors(spec, has_price=self._has_price)
        missing: list[str] = []
        if spec.source_version_id:
            try:
                source = await self._version(tenant, spec.source_version_id)
                errors += source_errors(version_of(source), spec.target_form)
            except NotFoundError as error:
                missing.append(error.message)
        if spec.dataset_id:
            try:
                await self._datasets.look(
                    lambda: self._datasets.get(tenant, spec.dataset_id), DATASET_READY
                )
            except NotFoundError as error:
                missing.append(error.message)
        if errors:
            raise InvalidInputError(errors + missing)
        if missing:
            raise NotFoundError("; ".join(missing))
        return source


def version_of(model: ModelReady) -> SourceVersion:
    """Fields of the version that the rules of builds use."""
    unmerged = model.method if model.method in UNMERGED_METHODS else ""
    return SourceVersion(model.version_id, model.form, model.job_id, unmerged)


def with_defaults(spec: BuildSpec) -> BuildSpec:
    """The spec with its defaults filled in, so that a later default does not change an old job."""
    full = BuildSpec()
    full.CopyFrom(spec)
    full.max_accuracy_loss = spec.max_accuracy_loss or DEFAULT_MAX_ACCURACY_LOSS
    if is_search(spec):
        fill_defaults(full)
    return full
