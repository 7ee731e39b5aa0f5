"""Deletes files whose time is up."""

import asyncio
import logging
import time
from collections.abc import Callable

from modelmill_registry.catalogue import FileCatalogue
from modelmill_service_kit.errors import DomainError, NotFoundError, PreconditionError

from modelmill_data_prep.delete_dataset import DeleteFile

log = logging.getLogger(__name__)

EACH_SECONDS = 60.0


class ExpireFiles:
    """Any number of replicas may: deleting is idempotent. What unfinished jobs need waits for them.

    Args:
        now: The time in Unix seconds.
        each_seconds: Between two looks.
    """

    def __init__(
        self,
        files: FileCatalogue,
        delete_file: DeleteFile,
        *,
        now: Callable[[], float] = time.time,
        each_seconds: float = EACH_SECONDS,
    ) -> None:
        self._files = files
        self._delete_file = delete_file
        self._now = now
        self._each_seconds = each_seconds

    async def run(self) -> None:
        """Look for ever; run it as a task of its own and end it by cancelling."""
        await self._files.ready.wait()
        while True:
            await self.delete_expired()
            await asyncio.sleep(self._each_seconds)

    async def delete_expired(self) -> int:
        """Delete what has expired by now; returns how many files."""
        deleted = 0
        for file in self._files.expired(self._now()):
            try:
                await self._delete_file(tenant=file.tenant, file_id=file.file_id)
                deleted += 1
            except (NotFoundError, PreconditionError) as error:
                log.debug("file %s has expired and stays: %s", file.file_id, error)
            except DomainError as error:
                log.warning("files that have expired stay for now: %s", error)
                break
        if deleted:
            log.info("deleted %d files that have expired", deleted)
        return deleted
