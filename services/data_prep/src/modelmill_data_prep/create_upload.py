"""Use case: a file that comes in parts is announced."""

import asyncio
import time
import uuid
from collections.abc import Callable

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload, UploadHeader
from modelmill_service_kit.errors import InvalidInputError, OverloadedError, TooLargeError

from modelmill_data_prep.store_file import check_header
from modelmill_data_prep.uploads import PENDING, UPLOAD_SECONDS, UploadShelf, status_at


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
