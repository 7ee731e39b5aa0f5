"""Records of files on the bus: one subject a file, its last message is the record."""

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_bus.bus import Bus, StaleWriteError, Stored
from modelmill_bus.read_model import until_seen, visible_to
from modelmill_bus.subjects import TOKEN, file_state
from modelmill_registry.catalogue import FILES, FileCatalogue
from modelmill_service_kit.errors import AlreadyExistsError
from modelmill_service_kit.nearest import no_such


class FileRecords:
    """Writes and reads by id on the stream itself; lists from the read model that follows it."""

    def __init__(self, bus: Bus, catalogue: FileCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def create(self, file: FileState) -> None:
        """Durable on return, and listed by this process.

        Raises:
            AlreadyExistsError: There is, or was, a file of this id.
            UnavailableError: The bus does not answer; the record may still appear later.
        """
        try:
            await self._write(file, expect_last=0)
        except StaleWriteError:
            raise AlreadyExistsError(f"there is a file {file.file_id!r}") from None

    async def delete(self, tenant: str, file_id: str) -> int:
        """Mark the tenant's own file as deleted, for good; the sequence of the mark.

        Raises:
            NotFoundError: Unknown, deleted, or not the tenant's own.
            UnavailableError: The bus does not answer; ask again.
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
                continue  # somebody deleted it at the same moment

    async def get(self, tenant: str, file_id: str, *, include_deleted: bool = False) -> FileState:
        """The record of a file that the tenant may use, as any process wrote it last.

        Args:
            include_deleted: For a job that was accepted while the file was there.

        Raises:
            NotFoundError: Unknown, deleted, or another tenant's.
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
        # An id that cannot be one was never given out; it must not become a subject.
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
