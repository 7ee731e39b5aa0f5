"""What a teacher has said so far, one line for each passage, durable before the next is asked."""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.generating.budget import Usage
from modelmill_cli.generating.prompts import Pair


@dataclass(frozen=True)
class PassageAnswers:
    """All pairs of a passage as the teacher wrote them, and what they cost."""

    pairs: Sequence[Pair]
    usage: Usage


class AnswerJournal:
    """An append-only file. A line that a crash cut short is dropped, and its passage asked again.

    It holds what was said before it is judged, so another limit of grounding asks nobody anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.entries: dict[str, PassageAnswers] = {}
        """By key of the request."""

    @property
    def usage(self) -> Usage:
        """Of all entries, also of those that other passages or options asked for."""
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
                    f"another mill writes {self._path}. Wait for it, or give another --output"
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

    def add(self, key: str, entry: PassageAnswers) -> None:
        """Keep an entry; on return it is on the disk."""
        if self._file is None:
            raise ValueError("the journal is not open")
        line = {"key": key, "pairs": entry.pairs, "usage": asdict(entry.usage)}
        self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.entries[key] = entry

    def _read(self, line: bytes) -> None:
        try:
            value = json.loads(line)
            pairs = [Pair(*each) for each in value["pairs"]]
            self.entries[value["key"]] = PassageAnswers(pairs, Usage(**value["usage"]))
        except (ValueError, KeyError, TypeError) as error:
            raise PreconditionError(
                f"{self._path} is no journal of `mill data generate`. Give another --output"
            ) from error
