"""What a batch has answered becomes files of its tenant, each once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_bus.ids import derived_id
from modelmill_service_kit.errors import AlreadyExistsError

from modelmill_gateway.batches.batch_journal import KINDS, BatchJournal

PURPOSE = "batch_output"
CHUNK_BYTES = 1 << 20


class TakesFiles(Protocol):
    """Where files are kept."""

    async def upload(
        self,
        chunks: AsyncIterator[bytes],
        *,
        tenant: str,
        filename: str,
        purpose: str,
        file_id: str = "",
    ) -> FileState: ...


class KeepBatchFiles:
    """Stores the rows of a journal, which is saved already."""

    def __init__(self, files: TakesFiles) -> None:
        self._files = files

    async def __call__(self, journal: BatchJournal, *, tenant: str, job_id: str) -> dict[str, str]:
        """Ids of the files by the kind of their rows; none for a kind without rows.

        An id is made of the job and of the rows: an attempt that finds no more of them than one
        before it, which died behind this, finds its files.

        Raises:
            UnavailableError: they do not answer.
        """
        kept = {}
        for kind in KINDS:
            if not journal.counts[kind]:
                continue
            path = journal.path(kind)
            file_id = derived_id("file", job_id, kind, await asyncio.to_thread(_digest, path))
            # There is one of this id when an attempt died behind this.
            with suppress(AlreadyExistsError):
                await self._files.upload(
                    _chunks(path),
                    tenant=tenant,
                    filename=f"{job_id}_{kind}.jsonl",
                    purpose=PURPOSE,
                    file_id=file_id,
                )
            kept[kind] = file_id
        return kept


def _digest(path: Path) -> str:
    with path.open("rb") as rows:
        return hashlib.file_digest(rows, "sha256").hexdigest()


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as rows:
        while chunk := rows.read(CHUNK_BYTES):
            yield chunk
