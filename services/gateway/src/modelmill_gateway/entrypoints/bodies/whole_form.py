"""A form whose file may come before what is said of it: some clients send it in this order."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from modelmill_service_kit.errors import TooLargeError

from modelmill_gateway.entrypoints.http.multipart import CHUNK_BYTES, MultipartUpload

IN_MEMORY = CHUNK_BYTES
"""Bytes of a file that wait in memory; more of them wait on the disk."""
MOST_WAITING = 128 * 1024 * 1024
"""Bytes of a file that may wait: in a container the disk for it may be memory."""


@asynccontextmanager
async def whole_form(
    form: MultipartUpload, needed: str
) -> AsyncIterator[tuple[dict[str, str], AsyncIterator[bytes]]]:
    """The fields of a form, and the bytes of its file.

    Once the field `needed` has come, the file is passed on as it comes, and fields behind it do not
    count. Otherwise the file waits here, as a file without a name, until all fields are known.

    Raises:
        BadRequestError: the form is malformed, or ends in the middle.
        TooLargeError: a file that would have to wait is too large for that.
    """
    if needed in form.fields:
        yield form.fields, form.chunks()
        return
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as kept:
        async for chunk in form.chunks():
            if kept.tell() + len(chunk) > MOST_WAITING:
                size = f"{MOST_WAITING // 1024**2} MiB"
                raise TooLargeError(f"{needed}: must come before a file of more than {size}")
            await asyncio.to_thread(kept.write, chunk)
        await asyncio.to_thread(kept.seek, 0)
        yield form.later_fields | form.fields, _pieces(kept)


async def _pieces(kept: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(kept.read, CHUNK_BYTES):
        yield chunk
