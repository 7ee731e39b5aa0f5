"""Validates build specs, before they are queued or sized."""

from dataclasses import dataclass

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_registry.default_build import UNMERGED_METHODS
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_optimizer_builder.domain.build_plan import (
    DEFAULT_MAX_ACCURACY_LOSS,
    SourceVersion,
    source_errors,
    spec_errors,
)
from modelmill_optimizer_builder.domain.forms import ADAPTER, form_named
from modelmill_optimizer_builder.domain.pruning import Pruning
from modelmill_optimizer_builder.search_spec import (
    fill_defaults,
    is_search,
    least_size_error,
    search_errors,
)

SEARCH_NEEDS = "openvino-int8"
"""Form whose needs a search claims; forms that need more than its worker has are left out."""


@dataclass(frozen=True)
class CheckedBuild:
    """A spec that can be queued, and what it reads."""

    spec: BuildSpec
    """With its defaults filled in."""
    weights_bytes: int
    """Of the whole model; 0 where its base is gone."""
    dataset: DatasetReady | None
    """None where nothing is scored."""

    @property
    def needs(self) -> MachineSize:
        """The smallest machine for it; of a search for its smallest part."""
        return form_named(self.spec.target_form or SEARCH_NEEDS).needs(self.weights_bytes)

    @property
    def test_rows(self) -> int:
        """Rows of the test split that are read."""
        rows = self.dataset.counts.get("test", 0) if self.dataset is not None else 0
        return min(rows, self.spec.max_rows) if self.spec.max_rows else rows

    @property
    def built_bytes(self) -> int | None:
        """Of the form, by the size of the weights; None for a search, for what is pruned, and where
        they are gone."""
        if is_search(self.spec) or self.spec.HasField("pruning") or not self.weights_bytes:
            return None
        return form_named(self.spec.target_form).size_bytes(self.weights_bytes)


class CheckBuildSpec:
    """Validates the whole spec and reports every error at once.

    Args:
        has_price: Whether the service knows what its machine costs.
    """

    def __init__(
        self, models: ModelCatalogue, datasets: DatasetCatalogue, *, has_price: bool = False
    ) -> None:
        self._models = models
        self._datasets = datasets
        self._has_price = has_price

    async def __call__(self, tenant: str, spec: BuildSpec) -> CheckedBuild:
        """The validated spec, with defaults.

        Raises:
            InvalidInputError: The spec is wrong; lists every error.
            NotFoundError: The version or the dataset is unknown, and nothing else is wrong.
        """
        source, dataset = await self._found(tenant, spec)
        weights_bytes = await self._weights_bytes(tenant, source)
        if is_search(spec) and (errors := least_size_error(spec, weights_bytes)):
            raise InvalidInputError(errors)
        return CheckedBuild(with_defaults(spec), weights_bytes, dataset)

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

    async def _found(self, tenant: str, spec: BuildSpec) -> tuple[ModelReady, DatasetReady | None]:
        """Validate the spec; returns the version to build from, and the dataset."""
        source = ModelReady()
        dataset: DatasetReady | None = None
        errors = spec_errors(
            source_version_id=spec.source_version_id,
            target_form=None if is_search(spec) else spec.target_form,
            max_accuracy_loss=spec.max_accuracy_loss,
            pruning=pruning_of(spec),
            prompt_lookup=spec.prompt_lookup,
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
                dataset = await self._datasets.look(
                    lambda: self._datasets.get(tenant, spec.dataset_id), DATASET_READY
                )
            except NotFoundError as error:
                missing.append(error.message)
        if errors:
            raise InvalidInputError(errors + missing)
        if missing:
            raise NotFoundError("; ".join(missing))
        return source, dataset


def pruning_of(spec: BuildSpec) -> Pruning | None:
    """What an order cuts away; None where it says nothing of it."""
    if not spec.HasField("pruning"):
        return None
    said = spec.pruning
    return Pruning(heads=said.heads, mlp=said.mlp, layers=said.layers)


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
