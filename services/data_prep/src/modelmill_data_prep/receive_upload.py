"""Use cases: an upload is begun, its parts come in, or it is ended without a file."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload, UploadHeader
from modelmill_service_kit.errors import InvalidInputError, OverloadedError, TooLargeError

from modelmill_data_prep.domain.full import FullError
from modelmill_data_prep.store_file import MAX_CHUNK_BYTES, check_header
from modelmill_data_prep.uploads import (
    CANCELLED,
    MAX_PART_BYTES,
    MAX_PARTS,
    PENDING,
    UPLOAD_SECONDS,
    IncomingPart,
    UploadShelf,
    pending_upload,
    status_at,
)


class CreateUpload:
    """Begins uploads in parts, a bounded number of them for each tenant.

    Args:
        max_bytes: A larger file is refused.
        max_open: One more upload of a tenant's is refused.
        now: The time in Unix seconds.
    """

    def __init__(
        self,
        shelf: UploadShelf,
        *,
        max_bytes: int,
        max_open: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._shelf = shelf
        self._max_bytes = max_bytes
        self._max_open = max_open
        self._now = now
        self._counting = asyncio.Lock()

    async def __call__(self, *, header: UploadHeader, size_bytes: int) -> Upload:
        """An upload to which parts may be added for an hour; durable on return.

        Raises:
            InvalidInputError: The header is wrong, or the size is 0.
            TooLargeError: The file is larger than the limit.
            OverloadedError: Too many uploads of the tenant's are open.
        """
        check_header(header.filename, header.purpose)
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
                for one in await self._shelf.pending()
                if one.header.tenant == header.tenant and status_at(one, now) == PENDING
            ]
            if len(open_ones) >= self._max_open:
                raise OverloadedError(
                    f"{len(open_ones)} uploads are open. Complete or cancel one",
                    retry_after_seconds=60.0,
                )
            await self._shelf.put(upload)
        return upload


@dataclass(frozen=True)
class AddedPart:
    part_id: str
    created_at: int
    """Unix seconds."""


class AddUploadPart:
    """Takes parts in, a bounded number of them at a time.

    Args:
        max_parts_at_once: One more at the same time is refused.
        now: The time in Unix seconds.
    """

    def __init__(
        self,
        shelf: UploadShelf,
        *,
        max_parts_at_once: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._shelf = shelf
        self._free = max_parts_at_once
        self._now = now

    async def __call__(
        self, *, tenant: str, upload_id: str, chunks: AsyncIterator[bytes]
    ) -> AddedPart:
        """Store a part; durable on return. Which parts make the file is said at its completion.

        Raises:
            NotFoundError: No such upload, or it is over.
            InvalidInputError: The part is empty or too large, or there are too many of them.
            FullError: Too many parts are coming in, of all tenants.
        """
        await pending_upload(self._shelf, tenant, upload_id, self._now())
        if not self._free:
            raise FullError("too many parts are coming in", retry_after_seconds=5.0)
        self._free -= 1
        try:
            async with self._shelf.open_part(upload_id) as part:
                await self._receive(upload_id, chunks, part)
                # It may have been completed or cancelled meanwhile.
                upload = await pending_upload(self._shelf, tenant, upload_id, self._now())
                await self._check_room(upload_id, upload.size_bytes)
                await part.keep()
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
        sizes = await self._shelf.parts(upload_id)
        if len(sizes) >= MAX_PARTS:
            raise InvalidInputError(f"the upload has {MAX_PARTS} parts. Make them larger")
        # Every part may be sent again, and once more where a client is at a loss.
        if sum(sizes.values()) > 2 * size_bytes + MAX_PART_BYTES:
            raise InvalidInputError("the parts are more than twice the size of the file")


class CancelUpload:
    """Ends uploads.

    Args:
        now: The time in Unix seconds.
    """

    def __init__(self, shelf: UploadShelf, *, now: Callable[[], float] = time.time) -> None:
        self._shelf = shelf
        self._now = now

    async def __call__(self, *, tenant: str, upload_id: str) -> Upload:
        """The upload as it is now; its parts are gone.

        Raises:
            NotFoundError: No such upload, or it is over.
        """
        upload = await pending_upload(self._shelf, tenant, upload_id, self._now())
        upload.status = CANCELLED
        await self._shelf.put(upload)
        await self._shelf.drop_parts(upload_id)
        return upload
