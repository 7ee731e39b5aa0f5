"""Use case: store an uploaded file."""

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from io import RawIOBase
from pathlib import Path
from tempfile import TemporaryDirectory

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_registry.manifest import Manifest
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, TooLargeError

from modelmill_data_prep.domain.reading.file_form import (
    ENDINGS,
    PLAIN_FORMATS,
    UTF8,
    FileFormat,
    format_of,
    row_format_of,
)
from modelmill_data_prep.domain.reading.text_encoding import (
    SNIFFED_BYTES,
    check_rows_opening,
    check_text_opening,
)
from modelmill_data_prep.file_inspector import FileInspector
from modelmill_data_prep.records import CONTENT, FileRecords
from modelmill_data_prep.uploads import NoCapacityError

MAX_CHUNK_BYTES = 1024 * 1024

MAX_EXPIRY_SECONDS = 10 * 365 * 24 * 3600
_STALE_SECONDS = 24 * 3600
_MAX_FILENAME_CHARACTERS = 255
_MAX_PURPOSE_CHARACTERS = 64
_OF_REQUESTS = ("batch", "evals")
"""Purposes whose files must be JSONL."""


class StoreFile:
    """Stores uploads, with bounded concurrency.

    Args:
        spool: Folder of running uploads; what killed processes left there is removed after a day.
        max_bytes: Size limit of a file.
        max_uploads: Limit of concurrent uploads.
    """

    def __init__(
        self,
        spool: Path,
        inspector: FileInspector,
        store: ArtifactStore,
        records: FileRecords,
        *,
        max_bytes: int,
        max_uploads: int,
    ) -> None:
        _remove_stale(spool)
        self._spool = spool
        self._inspector = inspector
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
        expires_after_seconds: int = 0,
    ) -> FileState:
        """Store a file under `file_id`, or under a random id if that is empty.

        Args:
            expires_after_seconds: Until `ExpireFiles` deletes it; 0 for never.

        Raises:
            InvalidInputError: Header or content are invalid, or there is no content.
            AlreadyExistsError: The given id exists.
            TooLargeError: The file exceeds the limit.
            NoCapacityError: Too many concurrent uploads over all tenants.
            UnavailableError: The bus does not answer. Nothing was stored.
        """
        file_format = check_header(filename, purpose)
        check_expiry(expires_after_seconds)
        file_id = file_id or f"file-{uuid.uuid4().hex}"
        if not self._free_uploads:
            raise NoCapacityError("too many uploads run. Retry later", retry_after_seconds=5.0)
        self._free_uploads -= 1
        try:
            manifest = await self._keep(chunks, file_format, filename, purpose, file_id)
        finally:
            self._free_uploads += 1
        file = FileState(file_id=file_id, tenant=tenant, filename=filename, purpose=purpose)
        _fill(file, manifest, expires_after_seconds)
        await self._records.create(file)
        return file

    async def _keep(
        self,
        chunks: AsyncIterator[bytes],
        file_format: FileFormat,
        filename: str,
        purpose: str,
        file_id: str,
    ) -> Manifest:
        """Spool and commit, as the one file of an artifact.

        Its id among the attributes makes the artifact its own, so that it stays when another file
        of the same content is deleted.
        """
        # Unbuffered, so that the inspector and the store read what was written.
        with (
            TemporaryDirectory(dir=self._spool) as folder,
            (Path(folder) / CONTENT).open("xb", buffering=0) as file,
        ):
            encoding = UTF8 if purpose in _OF_REQUESTS else ""
            await self._receive(chunks, file, file_format, filename, encoding)
            if file_format not in PLAIN_FORMATS:
                await self._inspector.check_opening(Path(folder) / CONTENT, file_format)
            return await asyncio.to_thread(
                self._store.commit,
                Path(folder),
                kind="file",
                form=file_format.replace(".", "-"),
                attributes={"filename": filename, "file_id": file_id},
            )

    async def _receive(
        self,
        chunks: AsyncIterator[bytes],
        file: RawIOBase,
        file_format: FileFormat,
        filename: str,
        encoding: str,
    ) -> None:
        size, opening = 0, b""
        async for chunk in chunks:
            if len(chunk) > MAX_CHUNK_BYTES:
                raise InvalidInputError(f"a chunk is larger than {MAX_CHUNK_BYTES} bytes")
            if len(opening) < SNIFFED_BYTES:
                # Collected over chunks, which may be very small.
                opening += chunk[: SNIFFED_BYTES - len(opening)]
                if len(opening) == SNIFFED_BYTES:
                    _check_opening(opening, file_format, encoding)
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLargeError(f"the file is larger than {self._max_bytes} bytes")
            await asyncio.to_thread(file.write, chunk)
        if not size:
            raise InvalidInputError(f"{filename} is empty")
        if len(opening) < SNIFFED_BYTES:
            _check_opening(opening, file_format, encoding)


def _remove_stale(spool: Path) -> None:
    spool.mkdir(parents=True, exist_ok=True)
    oldest = time.time() - _STALE_SECONDS
    for left in spool.iterdir():
        if left.stat().st_mtime < oldest:
            shutil.rmtree(left, ignore_errors=True)


def _check_opening(opening: bytes, file_format: FileFormat, encoding: str) -> None:
    """Reject content that is not text, or not in the required encoding."""
    if file_format in PLAIN_FORMATS:
        check_text_opening(opening, encoding)
        if row_format_of(file_format) == "jsonl":
            check_rows_opening(opening)


def _fill(file: FileState, manifest: Manifest, expires_after_seconds: int) -> None:
    """What is known once the content is stored."""
    file.digest, file.size_bytes = manifest.digest, manifest.size_bytes
    file.sha256 = manifest.files[0].sha256
    file.created_at.GetCurrentTime()
    if expires_after_seconds:
        file.expires_at.seconds = file.created_at.seconds + expires_after_seconds


def check_expiry(seconds: int) -> None:
    """Raise InvalidInputError for a time that is too long to be meant."""
    if seconds > MAX_EXPIRY_SECONDS:
        raise InvalidInputError(f"expires_after: at most {MAX_EXPIRY_SECONDS} seconds, ten years")


def check_header(filename: str, purpose: str) -> FileFormat:
    """Validate file name and purpose; returns the format.

    Raises:
        InvalidInputError: Lists every error.
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
