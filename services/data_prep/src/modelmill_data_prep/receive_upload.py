"""Use cases of a multipart upload: create, add parts, complete and cancel."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload, UploadHeader
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_service_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    TooLargeError,
)

from modelmill_data_prep.records import FileRecords
from modelmill_data_prep.store_file import MAX_CHUNK_BYTES, StoreFile, check_expiry, check_header
from modelmill_data_prep.uploads import (
    CANCELLED,
    COMPLETED,
    MAX_PART_BYTES,
    MAX_PARTS,
    PENDING,
    UPLOAD_SECONDS,
    IncomingPart,
    NoCapacityError,
    UploadFolder,
    own_upload,
    pending_upload,
    status_at,
    unknown_part,
)


@dataclass(frozen=True)
class AddedPart:
    part_id: str
    created_at: int
    """Unix seconds."""


class AddUploadPart:
    """Receives parts, with bounded concurrency.

    Args:
        max_parts_at_once: Limit of concurrent parts; more are rejected.
        now: The time in Unix seconds.
    """

    def __init__(
        self,
        uploads: UploadFolder,
        *,
        max_parts_at_once: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._uploads = uploads
        self._free = max_parts_at_once
        self._now = now

    async def __call__(
        self, *, tenant: str, upload_id: str, chunks: AsyncIterator[bytes]
    ) -> AddedPart:
        """Store a part durably. The request that completes the upload names the parts of the file.

        Raises:
            NotFoundError: The upload is unknown, completed, cancelled or expired.
            InvalidInputError: The part is empty or too large, or the upload has too many.
            NoCapacityError: Too many concurrent parts over all tenants.
        """
        await pending_upload(self._uploads, tenant, upload_id, self._now())
        if not self._free:
            raise NoCapacityError(
                "too many parts are being uploaded. Retry later", retry_after_seconds=5.0
            )
        self._free -= 1
        try:
            async with self._uploads.open_part(upload_id) as part:
                await self._receive(upload_id, chunks, part)
                # It may have been completed or cancelled during the transfer.
                upload = await pending_upload(self._uploads, tenant, upload_id, self._now())
                await self._check_room(upload_id, upload.size_bytes)
                await part.commit()
                return AddedPart(part.part_id, int(self._now()))
        finally:
            self._free += 1

    async def _receive(
        self, upload_id: str, chunks: AsyncIterator[bytes], part: IncomingPart
    ) -> None:
        size = 0
        async for chunk in chunks:
            if len(chunk) > MAX_CHUNK_BYTES:
                raise InvalidInputError(f"a chunk is larger than {MAX_CHUNK_BYTES} bytes")
            size += len(chunk)
            if size > MAX_PART_BYTES:
                raise InvalidInputError(f"the part is larger than {MAX_PART_BYTES} bytes")
            await part.write(chunk)
        if not size:
            raise InvalidInputError("the part is empty")

    async def _check_room(self, upload_id: str, size_bytes: int) -> None:
        sizes = await self._uploads.parts(upload_id)
        if len(sizes) >= MAX_PARTS:
            raise InvalidInputError(f"the upload has {MAX_PARTS} parts. Make them larger")
        # Clients may resend parts, so up to twice the file's size is accepted.
        if sum(sizes.values()) > 2 * size_bytes + MAX_PART_BYTES:
            raise InvalidInputError("the parts are more than twice the size of the file")


class CancelUpload:
    """Cancels uploads and deletes their parts.

    Args:
        now: The time in Unix seconds.
    """

    def __init__(self, uploads: UploadFolder, *, now: Callable[[], float] = time.time) -> None:
        self._uploads = uploads
        self._now = now

    async def __call__(self, *, tenant: str, upload_id: str) -> Upload:
        """Cancel; returns the updated upload.

        Raises:
            NotFoundError: The upload is unknown, completed, cancelled or expired.
        """
        upload = await pending_upload(self._uploads, tenant, upload_id, self._now())
        upload.status = CANCELLED
        await self._uploads.put(upload)
        await self._uploads.drop_parts(upload_id)
        return upload


class CreateUpload:
    """Starts uploads, with a limit per tenant.

    Args:
        max_bytes: Size limit of a file.
        max_open: Limit of open uploads per tenant.
        now: The time in Unix seconds.
    """

    def __init__(
        self,
        uploads: UploadFolder,
        *,
        max_bytes: int,
        max_open: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._uploads = uploads
        self._max_bytes = max_bytes
        self._max_open = max_open
        self._now = now
        self._counting = asyncio.Lock()

    async def __call__(self, *, header: UploadHeader, size_bytes: int) -> Upload:
        """Create an upload that accepts parts for an hour; durable on return.

        Raises:
            InvalidInputError: The header is wrong, or the size is 0.
            TooLargeError: The file is larger than the limit.
            OverloadedError: Too many uploads of the tenant's are open.
        """
        check_header(header.filename, header.purpose)
        check_expiry(header.expires_after_seconds)
        if not size_bytes:
            raise InvalidInputError("size_bytes must be above 0")
        if size_bytes > self._max_bytes:
            raise TooLargeError(f"the file is larger than {self._max_bytes} bytes")
        now = int(self._now())
        upload = Upload(
            upload_id=f"upload_{uuid.uuid4().hex}",
            header=header,
            size_bytes=size_bytes,
            status=PENDING,
            created_at=now,
            expires_at=now + UPLOAD_SECONDS,
        )
        async with self._counting:
            open_ones = [
                one
                for one in await self._uploads.pending()
                if one.header.tenant == header.tenant and status_at(one, now) == PENDING
            ]
            if len(open_ones) >= self._max_open:
                raise OverloadedError(
                    f"{len(open_ones)} uploads are open. Complete or cancel one",
                    retry_after_seconds=60.0,
                )
            await self._uploads.put(upload)
        return upload


_LISTED_ERRORS = 20


class CompleteUpload:
    """Joins parts to files. Idempotent, also after a crash.

    Args:
        now: The time in Unix seconds.
    """

    def __init__(
        self,
        uploads: UploadFolder,
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
                expires_after_seconds=upload.header.expires_after_seconds,
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
