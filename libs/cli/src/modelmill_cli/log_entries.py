"""Entries of `up.log`: what the processes of `mill up` said, one entry or more lines each."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

LEVELS = ("debug", "info", "warning", "error")
BY_MARK = {
    **{"DEBUG": "debug", "INFO": "info", "WARNING": "warning", "ERROR": "error"},
    **{"CRITICAL": "error", "[DBG]": "debug", "[TRC]": "debug", "[INF]": "info"},
    **{"[WRN]": "warning", "[ERR]": "error", "[FTL]": "error"},
}
HEAD = re.compile(r"(?=.{17} (?:\d{4}-\d\d-\d\dT|\[\d)) *([a-z][a-z_]*) ")
"""Of an entry: a process, and a time or the broker's id. Others belong to the entry before."""
MARK_WORDS = 4
"""A level stands behind the time, the broker's behind process id, date and time."""
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What one process said once."""

    service: str
    level: str
    text: str
    """As it stands in the file, without the end of its last line."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries are wanted: all of these hold."""

    services: frozenset[str] = frozenset()
    """Empty for all."""
    level: str = "debug"
    """The least one."""
    text: str = ""
    """Somewhere in the entry, in any case."""

    def __call__(self, entry: LogEntry) -> bool:
        return (
            (not self.services or entry.service in self.services)
            and LEVELS.index(entry.level) >= LEVELS.index(self.level)
            and self.text.casefold() in entry.text.casefold()
        )


def entries_of(lines: Iterable[str]) -> Iterator[LogEntry]:
    """Entries of lines; those before the first head are left out."""
    held: list[str] = []
    service = ""
    for line in lines:
        head = HEAD.match(line)
        if head is not None:
            if held:
                yield _entry(service, held)
            service, held = head[1], []
        if service:
            held.append(line.rstrip("\n"))
    if held:
        yield _entry(service, held)


def _entry(service: str, lines: list[str]) -> LogEntry:
    words = lines[0].split(None, MARK_WORDS + 1)[1:]
    level = next((BY_MARK[word] for word in words[:MARK_WORDS] if word in BY_MARK), "info")
    return LogEntry(service, level, "\n".join(lines))


def read_entries(
    log: Path, *, follow: bool, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Iterator[LogEntry]]:
    """All entries so far, also of the file before; then, to follow, those of each further look.

    It goes on where a full file was put aside, and has no end of its own.

    Raises:
        FileNotFoundError: There is no log.
    """
    file = _opened(log)
    try:
        yield entries_of(chain(_lines_before(log), file))
        while follow:
            yield entries_of(iter(file.readline, ""))
            if _was_put_aside(file, log):
                yield entries_of(iter(file.readline, ""))
                file.close()
                file = _opened(log)
            else:
                sleep(LOOK_SECONDS)
    finally:
        file.close()


def _was_put_aside(file: TextIO, log: Path) -> bool:
    """Whether another file has taken its place; between the two there is none."""
    try:
        return os.fstat(file.fileno()).st_ino != log.stat().st_ino
    except FileNotFoundError:
        return False


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8", errors="replace")


def _lines_before(log: Path) -> Iterator[str]:
    with suppress(FileNotFoundError), _opened(log.with_name(f"{log.name}.1")) as file:
        yield from file
