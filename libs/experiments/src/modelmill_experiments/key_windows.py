"""From answers and feedback to units: a key counts once, when its window has passed."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelmill_experiments.sequential_test import Unit

KeyDigest = bytes
"""Of a sticky key; the key itself is not kept."""
MOST_ANSWERS = 50
"""Of one key that count, so that no key makes others wait or fills the memory."""


@dataclass
class _Open:
    arm: str
    values: dict[str, list[float]] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    """Requests that count, with how often feedback said something of each."""


class KeyWindows:
    """Open keys of an experiment, by the times that events bear.

    A key's first answer opens its window. What is said until it ends counts, and later answers of
    the key never do: which arm it has is known by then.

    Args:
        seconds: Of a window.
        begin: Time before which no window opens.
    """

    def __init__(self, seconds: float, begin: float) -> None:
        self._seconds = seconds
        self._begin = begin
        self._open: dict[KeyDigest, _Open] = {}
        self._ends: list[tuple[float, KeyDigest]] = []
        self._of_request: dict[str, KeyDigest] = {}
        self._done: set[KeyDigest] = set()

    @property
    def open_keys(self) -> int:
        """How many have not closed."""
        return len(self._open)

    def close(self, key: KeyDigest) -> None:
        """Never count the key again, as one that somebody else has closed."""
        self._done.add(key)
        self._forget(key)

    def answer(
        self, at: float, key: KeyDigest, arm: str, request_id: str, values: Mapping[str, float]
    ) -> None:
        """Count an answer, unless its key has closed or is another arm's."""
        if at < self._begin or key in self._done:
            return
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = _Open(arm)
            heapq.heappush(self._ends, (at + self._seconds, key))
        if found.arm != arm or len(found.requests) >= MOST_ANSWERS:
            return
        found.requests[request_id] = 0
        self._of_request[request_id] = key
        _add(found, values)

    def feedback(self, request_id: str, values: Mapping[str, float]) -> bool:
        """Count what was said of an answer, the first time that something is.

        Returns:
            Whether the answer is one that counts.
        """
        key = self._of_request.get(request_id)
        if key is None:
            return False
        if not self._open[key].requests[request_id]:
            self._open[key].requests[request_id] += 1
            _add(self._open[key], values)
        return True

    def closing(self, now: float) -> Iterator[tuple[KeyDigest, Unit]]:
        """Keys whose window has passed, in the order in which it did; each is given once."""
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            if (found := self._open.get(key)) is not None:
                unit = Unit(found.arm, {name: tuple(it) for name, it in found.values.items()})
                self.close(key)
                yield key, unit

    def _forget(self, key: KeyDigest) -> None:
        if (found := self._open.pop(key, None)) is not None:
            for request_id in found.requests:
                self._of_request.pop(request_id, None)


def _add(found: _Open, values: Mapping[str, float]) -> None:
    for metric, value in values.items():
        found.values.setdefault(metric, []).append(value)
