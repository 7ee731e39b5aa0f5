"""Records of files on the bus: one subject a file, its last message is the record."""

import logging

from jobs.bus import Bus
from jobs.subjects import TOKEN, file_state
from modelmill.registry.v1.model_events_pb2 import FileState
from registry.catalogue import FileCatalogue
from registry.read_model import visible_to
from service_kit.errors import DeadlineError, NotFoundError

log = logging.getLogger(__name__)

LISTED_SECONDS = 2.0


class FileRecords:
    """Writes and reads by id on the stream itself; lists from the read model that follows it."""

    def __init__(self, bus: Bus, catalogue: FileCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def create(self, file: FileState) -> None:
        """Durable on return, and listed by this process.

        Raises:
            UnavailableError: The bus does not answer; the record may still appear later.
        """
        sequence = await self._bus.publish(file_state(file.file_id), file, expect_last=0)
        try:
            await self._catalogue.wait_for(sequence, LISTED_SECONDS)
        except DeadlineError as error:
            log.warning("file %s is stored and not yet listed: %s", file.file_id, error)

    async def get(self, tenant: str, file_id: str) -> FileState:
        """The record of a file that the tenant may use, as any process wrote it last.

        Raises:
            NotFoundError: Unknown, deleted, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        # An id that cannot be one was never given out; it must not become a subject.
        if TOKEN.fullmatch(file_id):
            stored = await self._bus.last(file_state(file_id), FileState)
            if stored and visible_to(tenant, stored.body.tenant) and not stored.body.deleted:
                return stored.body
        raise NotFoundError(f"no file {file_id[:80]!r}")

    async def list(self, tenant: str) -> list[FileState]:
        """Files that the tenant may use, newest first."""
        await self._catalogue.ready.wait()
        return self._catalogue.list(tenant)
