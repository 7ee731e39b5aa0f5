"""Adapters for files, datasets, models and jobs as stored on NATS."""

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JobError, JobState
from modelmill.registry.v1.model_events_pb2 import (
    DatasetReady,
    DatasetRetired,
    FileState,
    ModelReady,
)
from modelmill_bus.bus import Bus, StaleWriteError, Stored
from modelmill_bus.read_model import until_seen, visible_to
from modelmill_bus.subjects import (
    DATASET_READY,
    DATASET_RETIRED,
    MODEL_READY,
    TOKEN,
    file_state,
    job_state,
)
from modelmill_registry.catalogue import FILES, DatasetCatalogue, FileCatalogue, ModelCatalogue
from modelmill_service_kit.errors import AlreadyExistsError
from modelmill_service_kit.nearest import no_such


class DatasetRecords:
    """Looks up datasets, and publishes their retirement."""

    def __init__(self, bus: Bus, catalogue: DatasetCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def get(self, tenant: str, dataset_id: str) -> DatasetReady:
        """A dataset that the tenant may use.

        Raises:
            NotFoundError: It is unknown, retired, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        return await self._catalogue.look(
            lambda: self._catalogue.get(tenant, dataset_id), DATASET_READY
        )

    async def retire(self, retired: DatasetRetired) -> int:
        """Publish a retirement. On return it is durable, and this process has read it.

        Raises:
            UnavailableError: The bus does not answer. Retry.
        """
        sequence = await self._bus.publish(
            DATASET_RETIRED, retired, msg_id=f"{retired.dataset_id}-retired"
        )
        await until_seen(self._catalogue, sequence)
        return sequence


class ModelRecords:
    """Looks up model versions."""

    def __init__(self, catalogue: ModelCatalogue) -> None:
        self._catalogue = catalogue

    async def get(self, tenant: str, version_id: str) -> ModelReady:
        """A version that the tenant may use.

        Raises:
            NotFoundError: It is unknown, retired, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        return await self._catalogue.look(
            lambda: self._catalogue.get(tenant, version_id), MODEL_READY
        )


class FileRecords:
    """Writes and reads single records on the stream; lists come from the read model."""

    def __init__(self, bus: Bus, catalogue: FileCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def create(self, file: FileState) -> None:
        """Create a record. On return it is durable, and this process lists it.

        Raises:
            AlreadyExistsError: The id exists, or existed and was deleted.
            UnavailableError: The bus does not answer. The record may still appear later.
        """
        try:
            await self._write(file, expect_last=0)
        except StaleWriteError:
            raise AlreadyExistsError(f"there is a file {file.file_id!r}") from None

    async def delete(self, tenant: str, file_id: str) -> int:
        """Mark the tenant's file as deleted, permanently; returns the stream sequence.

        Raises:
            NotFoundError: It is unknown, deleted, or another tenant's.
            UnavailableError: The bus does not answer. Retry.
        """
        while True:
            stored = await self._stored(tenant, file_id)
            if stored.body.tenant != tenant:
                raise no_such("file of your own", file_id, FILES)
            file = FileState()
            file.CopyFrom(stored.body)
            file.deleted = True
            try:
                return await self._write(file, expect_last=stored.sequence)
            except StaleWriteError:
                continue  # changed concurrently: read again

    async def get(self, tenant: str, file_id: str, *, include_deleted: bool = False) -> FileState:
        """The newest record of a file that the tenant may use.

        Args:
            include_deleted: For jobs accepted before the file was deleted.

        Raises:
            NotFoundError: It is unknown, deleted, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        return (await self._stored(tenant, file_id, include_deleted)).body

    async def list(self, tenant: str) -> list[FileState]:
        """Files that the tenant may use, newest first."""
        await self._catalogue.ready.wait()
        return self._catalogue.list(tenant)

    async def _stored(
        self, tenant: str, file_id: str, include_deleted: bool = False
    ) -> Stored[FileState]:
        # A malformed id must not become part of a subject.
        if TOKEN.fullmatch(file_id):
            stored = await self._bus.last(file_state(file_id), FileState)
            is_there = stored is not None and (include_deleted or not stored.body.deleted)
            if stored and is_there and visible_to(tenant, stored.body.tenant):
                return stored
        raise self._catalogue.missing(tenant, file_id)

    async def _write(self, file: FileState, *, expect_last: int) -> int:
        sequence = await self._bus.publish(file_state(file.file_id), file, expect_last=expect_last)
        await until_seen(self._catalogue, sequence)
        return sequence


class JobRecords:
    """Reads the newest JobState of a job."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def failure(self, tenant: str, job_id: str) -> JobError | None:
        """The error of a tenant's failed job; None if it did not fail.

        Raises:
            UnavailableError: The bus does not answer.
        """
        stored = await self._bus.last(job_state(job_id), JobState)
        if stored is None or stored.body.tenant != tenant:
            return None
        return stored.body.error if stored.body.status == JOB_STATUS_FAILED else None
