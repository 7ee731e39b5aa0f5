"""What a model has said so far, one line for each request, durable before the next is asked."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.model_requests.budget import Usage


@dataclass(frozen=True)
class JournalEntry:
    """An answer as the model gave it, and what it cost."""

    text: str
    model: str
    """As the endpoint named what answered."""
    usage: Usage


class AnswerJournal:
    """An append-only file. A line that a crash cut short is dropped, and asked for again.

    It holds what was said before anything is read of it: another rule of reading asks nobody anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.entries: dict[str, JournalEntry] = {}
        """By key of the request."""

    @property
    def usage(self) -> Usage:
        """Of all entries, also of those that other rows or options asked for."""
        return sum((entry.usage for entry in self.entries.values()), Usage())

    def __enter__(self) -> Self:
        """Read what there is.

        Raises:
            PreconditionError: Another process writes it, or it is no journal.
            OSError: It cannot be read or written.
        """
        file = self._path.open("a+b")
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PreconditionError(
                    f"another mill writes {self._path}. Wait for it, and repeat"
                ) from None
            file.seek(0)
            content = file.read()
            whole = content.rfind(b"\n") + 1
            file.truncate(whole)
            for line in content[:whole].splitlines():
                self._read(line)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, key: str, entry: JournalEntry) -> None:
        """Keep an entry; on return it is on the disk."""
        if self._file is None:
            raise ValueError("the journal is not open")
        line = {"key": key, **asdict(entry)}
        self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.entries[key] = entry

    def _read(self, line: bytes) -> None:
        try:
            value = json.loads(line)
            usage = Usage(**value["usage"])
            entry = JournalEntry(str(value["text"]), str(value["model"]), usage)
            self.entries[str(value["key"])] = entry
        except (ValueError, KeyError, TypeError) as error:
            raise PreconditionError(
                f"{self._path} is no journal of answers. Move it away, and repeat"
            ) from error
