"""Use case: erase the bytes of deleted files and datasets.

The record of a deletion is the order. Whoever starts reads all of them again, so that what was
deleted while nobody ran is erased, too.
"""

import asyncio
import logging
from typing import Any

from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired, FileState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import DomainError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0


class UnusedArtifacts(ReadModel):
    """Artifacts of deleted files and datasets that no other file or dataset has."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("file.state.*", DATASET_READY, DATASET_RETIRED))
        self._users: dict[str, set[str]] = {}
        """Ids of the files and datasets that have an artifact, by its digest."""
        self._datasets: dict[str, DatasetReady] = {}
        self._deleted: set[str | tuple[str, str]] = set()
        """Ids of files; ids of datasets, each with the tenant that said so."""
        self._digests: set[str] = set()

    def any(self) -> bool:
        """Whether there are some."""
        return bool(self._digests)

    def take(self) -> set[str]:
        """Digests of all, which are no longer held here."""
        taken, self._digests = self._digests, set()
        return taken

    def put_back(self, taken: set[str]) -> None:
        """Hold them again, but for those that something uses by now."""
        self._digests |= taken - self._users.keys()

    def _apply(self, stored: Stored[Any]) -> None:
        body = stored.body
        if isinstance(body, FileState):
            self._apply_file(body)
        elif isinstance(body, DatasetReady):
            ready = self._datasets.setdefault(body.dataset_id, body)
            if (ready.dataset_id, ready.tenant) not in self._deleted:
                self._use(ready.digest, ready.dataset_id)
        elif isinstance(body, DatasetRetired):
            self._deleted.add((body.dataset_id, body.tenant))
            known = self._datasets.get(body.dataset_id)
            # Only its owner retires a dataset.
            if known is not None and known.tenant == body.tenant:
                self._release(known.digest, body.dataset_id)

    def _apply_file(self, file: FileState) -> None:
        if file.deleted:
            self._deleted.add(file.file_id)
            self._release(file.digest, file.file_id)
        elif file.file_id not in self._deleted:
            self._use(file.digest, file.file_id)

    def _use(self, digest: str, user: str) -> None:
        self._users.setdefault(digest, set()).add(user)
        self._digests.discard(digest)

    def _release(self, digest: str, user: str) -> None:
        users = self._users.get(digest, set())
        users.discard(user)
        if digest and not users:
            self._users.pop(digest, None)
            self._digests.add(digest)


class EraseDeleted:
    """Erases unused artifacts; any number of replicas may, each erases what is left."""

    def __init__(self, bus: Bus, store: ArtifactStore) -> None:
        self._unused = UnusedArtifacts(bus)
        self._store = store

    async def run(self) -> None:
        """Follow and erase for ever; run it as a task of its own and end it by cancelling."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._unused.run())
            tasks.create_task(self._erase_for_ever())

    async def _erase_for_ever(self) -> None:
        await self._unused.ready.wait()
        while True:
            await self._unused.until(self._unused.any)
            try:
                # A replica that lags may not know yet that an artifact is in use again.
                await self._unused.catch_up()
                await self._erase(self._unused.take())
            except (DomainError, OSError) as error:
                log.warning("the erasure of deleted rows waits: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _erase(self, digests: set[str]) -> None:
        try:
            erased = await asyncio.to_thread(self._erase_with_rows, digests)
            if erased:
                log.info("erased %d artifacts of deleted files and datasets", erased)
        except (DomainError, OSError):
            self._unused.put_back(digests)
            raise

    def _erase_with_rows(self, digests: set[str]) -> int:
        """Erase artifacts, and before them what repeats their rows; how many there were."""
        repeating, present = self._store.repeating(digests), self._store.present(digests)
        for erased in (repeating, present):
            if erased:
                self._store.erase(erased)
        return len(repeating) + len(present)
