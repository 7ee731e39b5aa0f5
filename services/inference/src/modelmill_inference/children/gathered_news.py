"""News of several steps as one: a message costs both processes more than a token does."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class News(NamedTuple):
    """What a step brought one request; the JSON of a message's row."""

    number: int
    tokens: list[int]
    end: str | None
    chosen: list[Any] | None


class GatheredNews:
    """Rows that wait for the next ones; what comes slowly never waits.

    Nor do the first tokens of a request, the last ones, and any of one that has stop texts: the
    engine does not know these, and would go on past one meanwhile.

    Args:
        seconds: between messages, at least; 0: each step is told at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._has_stops: set[int] = set()
        self._may_gather: set[int] = set()
        """Whose first tokens were told, and who has no stop texts."""
        self._urgent: list[News] = []
        self._waiting: dict[int, News] = {}
        self._told = 0.0

    def expect(self, number: int, *, may_gather: bool) -> None:
        """A request begins."""
        if not may_gather:
            self._has_stops.add(number)

    def forget(self, number: int) -> None:
        """It is over, or was left; what waits of it is told to nobody."""
        self._may_gather.discard(number)
        self._has_stops.discard(number)
        self._waiting.pop(number, None)

    def add(self, step: Iterable[News]) -> None:
        """What a step brought."""
        for row in step:
            before = self._waiting.pop(row.number, None)
            whole = row if before is None else _joined(before, row)
            if row.end is None and row.number in self._may_gather:
                self._waiting[row.number] = whole
                continue
            self._urgent.append(whole)
            if row.end is not None:
                self.forget(row.number)
            elif row.number not in self._has_stops:
                self._may_gather.add(row.number)

    def take(self, now: float) -> list[News]:
        """What is to be told now; empty while all of it may wait."""
        urgent, self._urgent = self._urgent, []
        if now - self._told < self._seconds:
            return urgent
        waiting, self._waiting = self._waiting, {}
        if urgent or waiting:
            self._told = now
        return [*urgent, *waiting.values()]


def _joined(before: News, after: News) -> News:
    chosen = None if before.chosen is None else before.chosen + (after.chosen or [])
    return News(before.number, before.tokens + after.tokens, after.end, chosen)
