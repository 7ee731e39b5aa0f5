"""Bytes that somebody else wrote, sent so that a browser stores them and never shows them."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.responses import StreamingResponse

from modelmill_gateway.entrypoints.http.requests import with_first

MAX_NAME_CHARS = 200
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""A page has texts of a tenant's in it: whatever they say, nothing of it runs or calls out."""

MEDIA_TYPES = {
    "json": "application/json",
    "rows": "application/jsonl",
    "html": "text/html; charset=utf-8",
}
"""Of reports, by their format."""


async def download(
    chunks: AsyncIterator[bytes], name: str, media_type: str, **headers: str
) -> StreamingResponse:
    """An answer of `chunks` under the file name `name`.

    The first chunk is read before any header is sent: what is unknown is still a 404.
    """
    first = await anext(chunks, b"")
    disposition = {"content-disposition": attachment(name)}
    return StreamingResponse(
        with_first(first, chunks), media_type=media_type, headers=disposition | headers
    )


async def report(chunks: AsyncIterator[bytes], name: str, report_format: str) -> StreamingResponse:
    """A report under the name of what it is about."""
    kind = MEDIA_TYPES[report_format]
    policy = {"content-security-policy": PAGE_POLICY}
    return await download(chunks, f"{name}.{report_format}", kind, **policy)


def attachment(name: str) -> str:
    """A Content-Disposition as RFC 6266 writes it: plain ASCII, and the name itself in UTF-8."""
    name = name.encode(errors="replace").decode()[:MAX_NAME_CHARS]
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\%;/' else "_"
        for char in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
