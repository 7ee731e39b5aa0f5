"""Use case: complete a multipart upload by joining its parts to a file."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_service_kit.errors import AlreadyExistsError, InvalidInputError, NotFoundError

from modelmill_data_prep.store_file import StoreFile
from modelmill_data_prep.uploads import (
    COMPLETED,
    UploadStore,
    own_upload,
    pending_upload,
    unknown_part,
)

_LISTED_ERRORS = 20


class FileRecords(Protocol):
    async def get(self, tenant: str, file_id: str) -> FileState:
        """Raises NotFoundError and UnavailableError."""
        ...


class CompleteUpload:
    """Joins parts to files. Idempotent, also after a crash.

    Args:
        now: The time in Unix seconds.
    """

    def __init__(
        self,
        uploads: UploadStore,
        store_file: StoreFile,
        records: FileRecords,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._uploads = uploads
        self._store_file = store_file
        self._records = records
        self._now = now
        self._completing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(
        self, *, tenant: str, upload_id: str, part_ids: Sequence[str], md5: str
    ) -> Upload:
        """Complete; a retry returns the same file.

        Args:
            md5: Expected hex digest of the file; empty to skip the check.

        Raises:
            NotFoundError: The upload is unknown, cancelled or expired.
            InvalidInputError: A part is unknown or listed twice, the size or digest differs, or
                as `StoreFile`.
            OverloadedError: Too many uploads are running.
            UnavailableError: The bus does not answer. Retry.
        """
        lock = self._completing.setdefault(upload_id, asyncio.Lock())
        async with lock:
            upload = await own_upload(self._uploads, tenant, upload_id)
            if upload.status != COMPLETED:
                upload = await pending_upload(self._uploads, tenant, upload_id, self._now())
                upload.file.CopyFrom(await self._file(upload, part_ids, md5))
                upload.status = COMPLETED
                await self._uploads.put(upload)
            # Repeated, in case the process died before it.
            await self._uploads.drop_parts(upload_id)
        return upload

    async def _file(self, upload: Upload, part_ids: Sequence[str], md5: str) -> FileState:
        # Derived from the upload's id, so that a retry cannot create a second file.
        file_id = upload.upload_id.replace("upload_", "file-")
        tenant = upload.header.tenant
        try:
            return await self._records.get(tenant, file_id)
        except NotFoundError:
            await self._check_parts(upload, part_ids)
        try:
            return await self._store_file(
                tenant=tenant,
                filename=upload.header.filename,
                purpose=upload.header.purpose,
                chunks=self._checked(upload, part_ids, md5.lower()),
                file_id=file_id,
            )
        except AlreadyExistsError:
            return await self._records.get(tenant, file_id)

    async def _check_parts(self, upload: Upload, part_ids: Sequence[str]) -> None:
        sizes = await self._uploads.parts(upload.upload_id)
        errors = [
            unknown_part(part_id) for part_id in dict.fromkeys(part_ids) if part_id not in sizes
        ]
        if len(set(part_ids)) < len(part_ids):
            errors.append("a part is listed twice")
        total = sum(sizes.get(part_id, 0) for part_id in part_ids)
        if not errors and total != upload.size_bytes:
            errors.append(f"the parts have {total} bytes, the upload {upload.size_bytes}")
        if errors:
            raise InvalidInputError(errors[:_LISTED_ERRORS])

    async def _checked(
        self, upload: Upload, part_ids: Sequence[str], md5: str
    ) -> AsyncIterator[bytes]:
        """Stream the bytes of all parts; raises at the end if the MD5 digest differs."""
        digest = hashlib.md5(usedforsecurity=False)
        async for chunk in self._uploads.read(upload.upload_id, part_ids):
            if md5:
                await asyncio.to_thread(digest.update, chunk)
            yield chunk
        if md5 and digest.hexdigest() != md5:
            raise InvalidInputError(
                f"the file's md5 is {digest.hexdigest()}, not the given one. Upload the parts again"
            )
