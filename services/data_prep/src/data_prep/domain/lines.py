"""The lines of a file, of which none fills the memory."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    """From 1."""

    content: bytes
    """With its line feed; cut when the line is too long."""

    too_long: bool


class LineReader:
    """Iterates over the lines of a file, holding no more than `max_row_bytes` of any of them.

    Lines can be given back, to be read again.
    """

    def __init__(self, file: BinaryIO, max_row_bytes: int) -> None:
        self.max_row_bytes = max_row_bytes
        self.bytes_read = 0
        self._file = file
        self._number = 0
        self._given_back: deque[Line] = deque()
        # A line end and a byte order mark do not count as the row's.
        self._read_limit = max_row_bytes + len(b"\r\n") + len(_BOM)

    @property
    def reason_too_long(self) -> str:
        return f"longer than {self.max_row_bytes} bytes"

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        if self._given_back:
            return self._given_back.popleft()
        content = part = self._read()
        if not content:
            raise StopIteration
        while part and not part.endswith(b"\n"):
            part = self._read()
        self._number += 1
        if self._number == 1:
            content = content.removeprefix(_BOM)
        too_long = len(content.rstrip(b"\r\n")) > self.max_row_bytes
        return Line(self._number, content, too_long)

    def give_back(self, lines: list[Line]) -> None:
        self._given_back.extendleft(reversed(lines))

    def _read(self) -> bytes:
        part = self._file.readline(self._read_limit)
        self.bytes_read += len(part)
        return part
