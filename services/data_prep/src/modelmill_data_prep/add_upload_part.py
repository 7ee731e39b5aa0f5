"""Use case: one part of a file comes in."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.full import FullError
from modelmill_data_prep.store_file import MAX_CHUNK_BYTES
from modelmill_data_prep.uploads import (
    MAX_PART_BYTES,
    MAX_PARTS,
    IncomingPart,
    UploadShelf,
    pending_upload,
)


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
