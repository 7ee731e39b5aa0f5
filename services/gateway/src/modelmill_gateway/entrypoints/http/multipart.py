"""A multipart upload as it arrives: fields and the file's bytes, never whole in memory."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from modelmill_service_kit.errors import TooLargeError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from modelmill_gateway.domain.errors import BadRequestError, UnsupportedEncodingError

MAX_FIELD_BYTES = 4096
MAX_FIELDS = 16
CHUNK_BYTES = 1024 * 1024
BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
"""As RFC 2046 has it: at most 70 characters, the last one no space."""
AS_THEY_ARE = (b"", b"7bit", b"8bit", b"binary", b"identity")
"""Encodings of a part that change nothing."""

IN_MEMORY = CHUNK_BYTES
"""Bytes of a file that wait in memory; more of them wait on the disk."""
MOST_WAITING = 128 * 1024 * 1024
"""Bytes of a file that may wait: in a container the disk for it may be memory."""


@dataclass
class _Part:
    """One part while it is being read."""

    name: str = ""
    filename: str | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)


class MultipartUpload:
    """One file with the fields before it.

    `open` reads up to the file; `chunks` yields its bytes, at most 1 MiB at a time. Fields behind
    the file are kept apart: where the body was cut on its way must change nothing.
    """

    def __init__(
        self, content_type: str, stream: AsyncIterator[bytes], *, file_field: str = "file"
    ) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise BadRequestError("the body must be multipart/form-data", param="content-type")
        if BOUNDARY.fullmatch(boundary) is None:
            raise BadRequestError(
                "the boundary must be 1 to 70 of the characters that RFC 2046 allows",
                param="content-type",
            )
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._stream = stream
        self._file_field = file_field
        self._reading = _Reading(file_field)
        self._parser = _parser(boundary, self._reading)
        self._opening = b"--" + boundary
        self._begun = b""

    async def open(self) -> None:
        """Read until the file begins.

        Raises:
            BadRequestError: there is no file, or the form is malformed or too large before it.
        """
        while not self._reading.in_file and await self._feed():
            pass
        if not self._reading.in_file and not self._reading.file_ended:
            raise BadRequestError(
                f"{self._file_field}: the form has no file", param=self._file_field
            )
        self.fields = self._reading.fields
        self.filename = self._reading.filename

    @property
    def later_fields(self) -> dict[str, str]:
        """Fields behind the file; all of them once its last chunk was taken."""
        return self._reading.later_fields

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, in order."""
        waiting = self._reading.file_bytes
        while True:
            while len(waiting) >= CHUNK_BYTES:
                yield bytes(waiting[:CHUNK_BYTES])
                del waiting[:CHUNK_BYTES]
            if not await self._feed():
                break
        if not self._reading.complete:
            raise BadRequestError("the form ends in the middle", param=self._file_field)
        if waiting:
            yield bytes(waiting)

    async def _feed(self) -> bool:
        """Parse what comes next; False at the end of the body."""
        received = await anext(self._stream, None)
        if received is None:
            return False
        received = self._from_the_boundary_on(received)
        try:
            self._parser.write(received)
        except FormParserError as error:
            raise BadRequestError(
                "the form is not valid multipart", param=self._file_field
            ) from error
        return True

    def _from_the_boundary_on(self, received: bytes) -> bytes:
        """What may be parsed by now: nothing, until it is known that the form begins as forms do.

        The parser reads what stands before the first boundary in one way or another, depending on
        where the body was cut on its way.
        """
        if len(self._begun) == len(self._opening):
            return received
        missing = len(self._opening) - len(self._begun)
        self._begun += received[:missing]
        if not self._opening.startswith(self._begun):
            raise BadRequestError(
                "the form does not begin with its boundary", param=self._file_field
            )
        if len(self._begun) < len(self._opening):
            return b""
        return self._begun + received[missing:]


class _Reading:
    """Where the parser stands. Its methods are the parser's callbacks."""

    def __init__(self, file_field: str) -> None:
        self._file_field = file_field
        self.fields: dict[str, str] = {}
        self.later_fields: dict[str, str] = {}
        self.filename = ""
        self.file_bytes = bytearray()
        self.in_file = False
        self.file_ended = False
        self.complete = False
        self._part = _Part()
        self._header_name = b""
        self._header_value = b""
        self._value = bytearray()

    def part_begin(self) -> None:
        self._part, self._value = _Part(), bytearray()

    def header_field(self, text: bytes, start: int, end: int) -> None:
        self._header_name += text[start:end]

    def header_value(self, text: bytes, start: int, end: int) -> None:
        self._header_value += text[start:end]

    def header_end(self) -> None:
        self._part.headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def headers_finished(self) -> None:
        disposition = self._part.headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise BadRequestError("the form has a part without a name", param=self._file_field)
        for header in (b"content-encoding", b"content-transfer-encoding"):
            if self._part.headers.get(header, b"").strip().lower() not in AS_THEY_ARE:
                said = f"{header.decode()} of a part: send the bytes as they are, without it"
                raise UnsupportedEncodingError(said)
        self._part.name = options[b"name"].decode("utf-8", "replace")
        filename = options.get(b"filename")
        if filename is None:
            return
        if self._part.name != self._file_field or self.in_file or self.file_ended:
            name = self._file_field
            raise BadRequestError(f"the form must have one file, named {name}", param=name)
        self._part.filename = self.filename = filename.decode("utf-8", "replace")
        self.in_file = True

    def part_data(self, text: bytes, start: int, end: int) -> None:
        if self._part.filename is not None:
            self.file_bytes += text[start:end]
            return
        self._value += text[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise BadRequestError(f"{self._part.name[:80]}: the field is too long")

    def part_end(self) -> None:
        if self._part.filename is not None:
            self.in_file, self.file_ended = False, True
            return
        fields = self.later_fields if self.file_ended else self.fields
        if len(fields) >= MAX_FIELDS:
            raise BadRequestError("the form has too many fields")
        fields[self._part.name] = self._value.decode("utf-8", "replace")

    def end(self) -> None:
        self.complete = True


def _parser(boundary: bytes, reading: _Reading) -> MultipartParser:
    return MultipartParser(
        boundary,
        {
            "on_part_begin": reading.part_begin,
            "on_header_field": reading.header_field,
            "on_header_value": reading.header_value,
            "on_header_end": reading.header_end,
            "on_headers_finished": reading.headers_finished,
            "on_part_data": reading.part_data,
            "on_part_end": reading.part_end,
            "on_end": reading.end,
        },
    )


@asynccontextmanager
async def whole_form(
    form: MultipartUpload, needed: str
) -> AsyncIterator[tuple[dict[str, str], AsyncIterator[bytes]]]:
    """The fields of a form, and the bytes of its file: some clients send the file first.

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
