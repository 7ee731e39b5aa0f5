"""Content stream of a file: decompressed, without byte order mark, with size limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import (
    UTF8,
    UTF16,
    Compression,
    FileFormat,
    compression_of,
)
from modelmill_data_prep.domain.reading.text_encoding import MARKS as UTF16_MARKS
from modelmill_data_prep.domain.reading.text_encoding import (
    SNIFFED_BYTES,
    UTF8_MARK,
    Utf16Text,
    check_text_opening,
)

_MAGIC: dict[Compression, bytes] = {"gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd"}
_CODEC: dict[Compression, str] = {"gz": "gzip", "zst": "zstd"}
MARKS = {UTF8: UTF8_MARK, **UTF16_MARKS}
"""Byte order mark by encoding."""

_FREE_BYTES = 16 * 1024**2
"""Decompressed bytes that are exempt from the ratio limit, as small files compress well."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def tell(self) -> int: ...


class ContentStream:
    """Reads the text of a file in pieces."""

    def __init__(
        self,
        content: _Readable,
        stored: _Readable,
        compression: Compression,
        limits: ReadLimits,
        encoding: str = "",
    ) -> None:
        self._content = content
        self._stored = stored
        self._compression = compression
        self._limits = limits
        self._read_bytes = 0
        self._ahead = self._opening(encoding)
        # All other encodings are ASCII-compatible for splitting rows.
        self._text = Utf16Text(encoding, self._content_bytes) if encoding in UTF16 else None

    @property
    def stored_bytes_read(self) -> int:
        """Position in the stored file."""
        return self._stored.tell()

    def read(self, size: int) -> bytes:
        """About `size` more bytes, empty only at the end; UTF-16 is converted to UTF-8.

        Raises:
            InvalidInputError: The compressed data is corrupt or exceeds a limit.
        """
        return self._content_bytes(size) if self._text is None else self._text.read(size)

    def _content_bytes(self, size: int) -> bytes:
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        return ahead + self._fill(size - len(ahead)) if len(ahead) < size else ahead

    def _opening(self, encoding: str) -> bytes:
        opening = self._fill(SNIFFED_BYTES)
        check_text_opening(opening, encoding)
        return opening.removeprefix(MARKS.get(encoding, b""))

    def _fill(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0 and (part := self._part(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, size: int) -> bytes:
        try:
            part = self._content.read(size)
        except (OSError, pa.ArrowException) as error:
            if not self._compression:
                raise
            raise InvalidInputError(
                f"the .{self._compression} file is damaged after {self._read_bytes} bytes of text"
            ) from error
        self._read_bytes += len(part)
        if self._compression:
            self._check_size()
        return part

    def _check_size(self) -> None:
        limits = self._limits
        if self._read_bytes > limits.max_content_bytes:
            raise InvalidInputError(
                f"the file holds more than {limits.max_content_bytes} bytes of text"
            )
        if self._read_bytes > _FREE_BYTES + limits.max_expansion * self._stored.tell():
            raise InvalidInputError(
                f"the file expands to more than {limits.max_expansion} times its size"
            )


@contextmanager
def open_content(
    path: Path, file_format: FileFormat, limits: ReadLimits, encoding: str = ""
) -> Iterator[ContentStream]:
    """Open a file's text with bounded memory; UTF-16 is converted to UTF-8.


    Args:
        encoding: Text encoding, whose byte order mark is skipped; empty for raw bytes.

    Raises:
        InvalidInputError: The content contradicts the file name, or is not text.
    """
    compression = compression_of(file_format)
    with path.open("rb") as file:
        if not compression:
            yield ContentStream(file, file, compression, limits, encoding)
            return
        magic = _MAGIC[compression]
        if file.read(len(magic)) != magic:
            raise InvalidInputError(f"the file is no .{compression} file")
        file.seek(0)
        with (
            pa.PythonFile(file, mode="r") as stored,
            pa.CompressedInputStream(stored, _CODEC[compression]) as content,
        ):
            yield ContentStream(content, file, compression, limits, encoding)
