"""Use case: the bytes of an upload to a file that datasets can be made from."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, TooLargeError

from modelmill_data_prep.domain.full import FullError
from modelmill_data_prep.domain.reading.file_form import UTF8
from modelmill_data_prep.domain.reading.file_formats import (
    ENDINGS,
    PLAIN_FORMATS,
    FileFormat,
    format_of,
    row_format_of,
)
from modelmill_data_prep.domain.reading.text_opening import (
    SNIFFED_BYTES,
    check_rows_opening,
    check_text_opening,
)

CONTENT = "content"
"""The one file of a file's artifact. Its name is ours: a caller's is never a path."""

MAX_CHUNK_BYTES = 1024 * 1024

_MAX_FILENAME_CHARACTERS = 255
_MAX_PURPOSE_CHARACTERS = 64
_OF_REQUESTS = ("batch", "evals")
"""Purposes of files that are read a JSON line at a time, without another format's reader."""


class SpooledFile(Protocol):
    """A private file on disk while its bytes are coming in."""

    folder: Path
    """Holds nothing but the file."""

    async def write(self, chunk: bytes) -> None: ...


class Spool(Protocol):
    def open(self, name: str) -> AbstractAsyncContextManager[SpooledFile]:
        """A new file `name` in a folder of its own; both are gone when the block ends."""
        ...


class OpeningLooks(Protocol):
    async def opening(self, path: Path, file_format: str) -> None:
        """Refuse a file that cannot be of its format.

        Raises:
            InvalidInputError: It is not of its format.
        """
        ...


class FileRecords(Protocol):
    async def create(self, file: FileState) -> None:
        """Durable, and listed, on return.

        Raises:
            AlreadyExistsError: There is a file of this id.
            UnavailableError: The bus does not answer.
        """
        ...


class StoreFile:
    """Takes uploads, a bounded number of them at a time.

    Args:
        max_bytes: A larger file is refused.
        max_uploads: One more at the same time is refused.
    """

    def __init__(
        self,
        spool: Spool,
        looks: OpeningLooks,
        store: ArtifactStore,
        records: FileRecords,
        *,
        max_bytes: int,
        max_uploads: int,
    ) -> None:
        self._spool = spool
        self._looks = looks
        self._store = store
        self._records = records
        self._max_bytes = max_bytes
        self._free_uploads = max_uploads

    async def __call__(
        self,
        *,
        tenant: str,
        filename: str,
        purpose: str,
        chunks: AsyncIterator[bytes],
        file_id: str = "",
    ) -> FileState:
        """Store one file under `file_id`, or when that is empty under a random id.

        Raises:
            InvalidInputError: The header is wrong, or the file is empty, or not what its name says.
            AlreadyExistsError: There is a file of the given id.
            TooLargeError: It is larger than the limit.
            FullError: Too many uploads are running, of all tenants.
            UnavailableError: The bus does not answer; nothing was stored.
        """
        file_format = check_header(filename, purpose)
        if not self._free_uploads:
            raise FullError("too many uploads are running", retry_after_seconds=5.0)
        self._free_uploads -= 1
        try:
            encoding = UTF8 if purpose in _OF_REQUESTS else ""
            digest, size = await self._keep(chunks, file_format, filename, encoding)
        finally:
            self._free_uploads += 1
        file = FileState(
            file_id=file_id or f"file-{uuid.uuid4().hex}",
            tenant=tenant,
            filename=filename,
            purpose=purpose,
            digest=digest,
            size_bytes=size,
        )
        file.created_at.GetCurrentTime()
        await self._records.create(file)
        return file

    async def _keep(
        self, chunks: AsyncIterator[bytes], file_format: FileFormat, filename: str, encoding: str
    ) -> tuple[str, int]:
        """Digest and size of what the store holds now."""
        async with self._spool.open(CONTENT) as spooled:
            size = await self._receive(chunks, spooled, file_format, encoding)
            if file_format not in PLAIN_FORMATS:
                await self._looks.opening(spooled.folder / CONTENT, file_format)
            manifest = await asyncio.to_thread(
                self._store.commit,
                spooled.folder,
                kind="file",
                form=file_format.replace(".", "-"),
                attributes={"filename": filename},
            )
        return manifest.digest, size

    async def _receive(
        self,
        chunks: AsyncIterator[bytes],
        spooled: SpooledFile,
        file_format: FileFormat,
        encoding: str,
    ) -> int:
        size, opening = 0, b""
        async for chunk in chunks:
            if len(chunk) > MAX_CHUNK_BYTES:
                raise InvalidInputError(f"a chunk is larger than {MAX_CHUNK_BYTES} bytes")
            if len(opening) < SNIFFED_BYTES:
                # Of all that has come of it, however small the chunks are cut.
                opening += chunk[: SNIFFED_BYTES - len(opening)]
                if len(opening) == SNIFFED_BYTES:
                    _check_opening(opening, file_format, encoding)
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLargeError(f"the file is larger than {self._max_bytes} bytes")
            await spooled.write(chunk)
        if not size:
            raise InvalidInputError("the file is empty")
        if len(opening) < SNIFFED_BYTES:
            _check_opening(opening, file_format, encoding)
        return size


def _check_opening(opening: bytes, file_format: FileFormat, encoding: str) -> None:
    """Refuse text that is none, or of another encoding than the one that it must have."""
    if file_format in PLAIN_FORMATS:
        check_text_opening(opening, encoding)
        if row_format_of(file_format) == "jsonl":
            check_rows_opening(opening)


def check_header(filename: str, purpose: str) -> FileFormat:
    """The format that a file of this name has.

    Raises:
        InvalidInputError: It is none of ours, or a field is too long or not printable; lists all.
    """
    errors = []
    file_format = format_of(filename)
    if file_format is None:
        errors.append(f"filename must end in {ENDINGS}, got {filename[-40:]!r}")
    if purpose in _OF_REQUESTS and file_format != "jsonl":
        errors.append(f"filename must end in .jsonl for the purpose {purpose}")
    for field, value, limit in (
        ("filename", filename, _MAX_FILENAME_CHARACTERS),
        ("purpose", purpose, _MAX_PURPOSE_CHARACTERS),
    ):
        if len(value) > limit or not value.isprintable():
            errors.append(f"{field} must be at most {limit} printable characters")
    if file_format is None or errors:
        raise InvalidInputError(errors)
    return file_format
