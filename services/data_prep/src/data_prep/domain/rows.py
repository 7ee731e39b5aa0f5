"""What passes between the stages: source rows, conversations, and rows that were refused."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RAW_CHARACTERS = 2_000
"""So much of a refused row goes into the quarantine."""

_RAW_BYTES = 4 * RAW_CHARACTERS


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as read, before anything was checked."""

    line: int
    """Line of the file on which the row begins, from 1."""

    columns: Mapping[str, Any]
    """Column name to JSON value."""

    raw: bytes
    """The row's own bytes."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that cannot become a conversation."""

    line: int
    reason: str
    """Names columns and limits but no values, so that reasons can be counted."""

    raw: str
    """The row as far as `RAW_CHARACTERS`; bytes that are no UTF-8 are replaced."""


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    """system, user or assistant."""

    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row that will be trained or scored on; the last turn is the assistant's."""

    line: int
    turns: tuple[Turn, ...]

    @property
    def opening(self) -> str:
        """The first thing the user says."""
        return next(turn.content for turn in self.turns if turn.role == "user")

    @property
    def answer(self) -> str:
        return self.turns[-1].content

    @property
    def spoken(self) -> str:
        """All that user and assistant say; the system turn is often the same for every row."""
        return "\n".join(turn.content for turn in self.turns if turn.role != "system")

    @property
    def is_single_turn(self) -> bool:
        return sum(turn.role != "system" for turn in self.turns) == 2


def rejected(line: int, reason: str, raw: bytes) -> RejectedRow:
    text = raw[:_RAW_BYTES].decode("utf-8", errors="replace")
    return RejectedRow(line, reason, text[:RAW_CHARACTERS].rstrip("\r\n"))


def batches(
    rows: Iterable[SourceRow | RejectedRow], *, max_rows: int, max_bytes: int
) -> Iterator[list[SourceRow | RejectedRow]]:
    """`rows` in lists that stay below both limits, so that long rows do not fill the memory."""
    batch: list[SourceRow | RejectedRow] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.raw)
        if len(batch) >= max_rows or size >= max_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
