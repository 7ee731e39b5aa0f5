"""What the processes of a stack say, in one file; and its end, for who sees them fail."""

import json
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

KEPT_BYTES = 16 << 20
"""Of one file; a full one is kept beside the new one, in place of the one before."""
TAIL_LINES = 20
UNREMARKABLE = ("[INF]", "[DBG]", "[TRC]")
"""Marks of the broker's lines that are no news."""
NEWS = ("WARNING", "ERROR", "CRITICAL")


class StackLog:
    """Takes lines until its block ends. A full disk costs lines, never the stack.

    It is written at once and not truncated: another mill may be at work on the folder, which only
    its lock tells.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail = deque[str](maxlen=TAIL_LINES)
        self._file = _opened(path)

    def write(self, name: str, line: str) -> None:
        """Keep what a process said, behind its name and shortened for people."""
        said = f"{name:>17} {readable(line)}"
        self._tail.extend(said.splitlines())
        with suppress(OSError):
            os.write(self._file, f"{said}\n".encode())
            if os.fstat(self._file).st_size > KEPT_BYTES:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
                os.close(self._file)
                self._file = _opened(self.path)

    def last_words(self) -> str:
        """The last lines that were heard, and where all of them are; empty when there was none."""
        lines = ("".join(c if c.isprintable() else "?" for c in line) for line in self._tail)
        return "\n".join((*lines, f"all of the log: {self.path}")) if self._tail else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)


def readable(line: str) -> str:
    """A JSON log line as level and message; any other line as it is."""
    record = _record(line)
    if record is None:
        return line
    text = f"{record.get('level', '')} {record.get('message', '')}"
    exception = record.get("exception")
    return f"{text}\n{exception}" if exception else text


def is_news(line: str) -> bool:
    """Whether somebody who runs a stack wants to see the line at once."""
    record = _record(line)
    if record is not None:
        return record.get("level") in NEWS
    return not any(mark in line for mark in UNREMARKABLE)


def _record(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        record: dict[str, object] = json.loads(line)
    except ValueError:
        return None
    return record


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
