"""Read models of model versions, datasets and files."""

from collections.abc import Iterator
from typing import Any

from modelmill.jobs.v1.job_pb2 import JobResult
from modelmill.registry.v1.model_events_pb2 import (
    DatasetReady,
    DatasetRetired,
    FileState,
    ModelReady,
    ModelRetired,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel, visible_to
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED, MODEL_READY, MODEL_RETIRED
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.nearest import no_such, where_listed

from modelmill_registry.default_build import SOURCE_FORMS

MODELS, DATASETS, FILES = "/v1/models", "/v1/datasets", "/v1/files"
"""Where the gateway lists what each catalogue holds."""


class ModelCatalogue(ReadModel):
    """Model versions that are ready and not retired; an id that was announced twice counts once."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, (MODEL_READY, MODEL_RETIRED))
        self._versions: dict[str, ModelReady] = {}
        self._retired: set[tuple[str, str]] = set()

    def get(self, tenant: str, version_id: str) -> ModelReady:
        """The version, if it is the tenant's or shared.

        Raises:
            NotFoundError: There is none, it is another tenant's, or it is retired.
        """
        version = self._versions.get(version_id)
        if version is None or not visible_to(tenant, version.tenant):
            raise no_such("model", version_id, MODELS)
        if self._is_retired(version):
            raise NotFoundError(f"model {version_id!r} was retired. {where_listed(MODELS)}")
        return version

    def was_announced(self, version_id: str) -> bool:
        """Whether there is or was such a version, whosever it is."""
        return version_id in self._versions

    def builds_of(
        self, version_id: str, form_prefix: str = "", *, tenant: str | None = None
    ) -> list[ModelReady]:
        """Builds made directly from `version_id`, newest first; what was trained of it is none.

        Args:
            version_id: The parent.
            form_prefix: Only forms that start with it, for example "openvino".
            tenant: Whose builds to look at; the parent's owner's when None.
        """
        parent = self._versions.get(version_id)
        owner = tenant if tenant is not None else parent.tenant if parent is not None else None
        if owner is None:
            return []
        return [
            version
            for version in self.list(owner)
            if version.parent_version_id == version_id
            and version.form.startswith(form_prefix)
            and version.form not in SOURCE_FORMS
        ]

    def made_from(self, version_id: str) -> list[ModelReady]:
        """Versions of all tenants that name it as parent or base and are not retired."""
        return [
            version
            for version in self._versions.values()
            if version_id in (version.parent_version_id, version.base_version_id)
            and version.version_id != version_id
            and not self._is_retired(version)
        ]

    def tenants(self) -> set[str]:
        """Owners of any, also of what is gone."""
        return {each.tenant for each in self._versions.values()}

    def list(self, tenant: str) -> list[ModelReady]:
        """Every version that the tenant may use, newest first."""
        return [
            version
            for version in reversed(self._versions.values())
            if visible_to(tenant, version.tenant) and not self._is_retired(version)
        ]

    def _is_retired(self, version: ModelReady) -> bool:
        # Only its owner retires a version; a message of another tenant's changes nothing.
        return (version.version_id, version.tenant) in self._retired

    def _apply(self, stored: Stored[Any]) -> None:
        body = stored.body
        if isinstance(body, ModelReady):
            self._versions.setdefault(body.version_id, body)
        elif isinstance(body, ModelRetired):
            self._retired.add((body.version_id, body.tenant))


class DatasetCatalogue(ReadModel):
    """Datasets that are ready and not retired; an id that was announced twice counts once."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, (DATASET_READY, DATASET_RETIRED))
        self._datasets: dict[str, DatasetReady] = {}
        self._retired: set[tuple[str, str]] = set()

    def get(self, tenant: str, dataset_id: str, *, include_retired: bool = False) -> DatasetReady:
        """The dataset, if it is the tenant's or shared.

        Args:
            include_retired: For what is told of it, whose bytes are erased.

        Raises:
            NotFoundError: There is none, it is another tenant's, or it is retired.
        """
        dataset = self._datasets.get(dataset_id)
        if dataset is None or not visible_to(tenant, dataset.tenant):
            raise no_such("dataset", dataset_id, DATASETS, self._ids(tenant))
        if self._is_retired(dataset) and not include_retired:
            raise NotFoundError(f"dataset {dataset_id!r} was retired. {where_listed(DATASETS)}")
        return dataset

    def was_announced(self, dataset_id: str) -> bool:
        """Whether there is or was such a dataset, whosever it is."""
        return dataset_id in self._datasets

    def has_retired(self, tenant: str, dataset_id: str) -> bool:
        """Whether the tenant's dataset was retired, and so will not become ready any more."""
        return (dataset_id, tenant) in self._retired

    def tenants(self) -> set[str]:
        """Owners of any, also of what is gone."""
        return {each.tenant for each in self._datasets.values()}

    def list(self, tenant: str) -> list[DatasetReady]:
        """Every dataset that the tenant may use, newest first."""
        return [
            dataset
            for dataset in reversed(self._datasets.values())
            if visible_to(tenant, dataset.tenant) and not self._is_retired(dataset)
        ]

    def _ids(self, tenant: str) -> Iterator[str]:
        return (dataset.dataset_id for dataset in self.list(tenant))

    def _is_retired(self, dataset: DatasetReady) -> bool:
        return (dataset.dataset_id, dataset.tenant) in self._retired

    def _apply(self, stored: Stored[Any]) -> None:
        body = stored.body
        if isinstance(body, DatasetReady):
            self._datasets.setdefault(body.dataset_id, body)
        elif isinstance(body, DatasetRetired):
            self._retired.add((body.dataset_id, body.tenant))


class FileCatalogue(ReadModel):
    """Uploaded files that were not deleted; the last message of a file is its record."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("file.state.*",))
        self._files: dict[str, FileState] = {}

    def get(self, tenant: str, file_id: str) -> FileState:
        """The file, if it is the tenant's or shared.

        Raises:
            NotFoundError: There is none, it is another tenant's, or it was deleted.
        """
        file = self._files.get(file_id)
        if file is None or file.deleted or not visible_to(tenant, file.tenant):
            raise self.missing(tenant, file_id)
        return file

    def missing(self, tenant: str, file_id: str) -> NotFoundError:
        """What is said of a file that there is not."""
        return no_such("file", file_id, FILES, (each.file_id for each in self.list(tenant)))

    def tenants(self) -> set[str]:
        """Owners of any, also of what is gone."""
        return {each.tenant for each in self._files.values()}

    def expired(self, now: float) -> list[FileState]:
        """Everybody's that are to be deleted by now, a time in Unix seconds."""
        return [
            file
            for file in self._files.values()
            if not file.deleted and file.HasField("expires_at") and file.expires_at.seconds <= now
        ]

    def list(self, tenant: str) -> list[FileState]:
        """Every file that the tenant may use, newest first."""
        return [
            file
            for file in reversed(self._files.values())
            if visible_to(tenant, file.tenant) and not file.deleted
        ]

    def _apply(self, stored: Stored[Any]) -> None:
        known = self._files.get(stored.body.file_id)
        if known is None or not known.deleted:  # a deleted id is never used again
            self._files[stored.body.file_id] = stored.body


class Made:
    """Looks in the catalogues of what jobs announce; both are followed elsewhere."""

    def __init__(self, models: ModelCatalogue, datasets: DatasetCatalogue) -> None:
        self._catalogues: dict[str, ModelCatalogue | DatasetCatalogue] = {
            MODEL_READY: models,
            DATASET_READY: datasets,
        }

    def has(self, result: JobResult) -> bool:
        """Whether it was announced, whatever became of it; true of one that announces nothing."""
        catalogue = self._catalogues.get(result.announce_subject)
        return catalogue is None or catalogue.was_announced(result.version_id)

    async def until(self, result: JobResult) -> None:
        """Return once it was announced."""
        catalogue = self._catalogues.get(result.announce_subject)
        if catalogue is not None:
            await catalogue.until(lambda: self.has(result))
