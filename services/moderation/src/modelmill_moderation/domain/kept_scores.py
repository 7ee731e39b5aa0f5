"""Scores that were heard a moment ago, so that the same is not asked twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

Scores = Mapping[str, float]
"""0 to 1 for each category, by the names of whoever scored."""


class KeptScores:
    """At most `entries` of them, none older than `seconds`; the least used goes first.

    Questions are known by their sha256 alone, and are not kept.
    """

    def __init__(self, *, entries: int, seconds: float, clock: Callable[[], float]) -> None:
        self._entries = entries
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Scores]] = OrderedDict()

    def get(self, question: bytes) -> Scores | None:
        """What was answered; None when it was not asked, or too long ago."""
        digest = _digest(question)
        heard_at, scores = self._kept.get(digest, (0.0, None))
        if scores is None:
            return None
        if self._clock() - heard_at >= self._seconds:
            del self._kept[digest]
            return None
        self._kept.move_to_end(digest)
        return scores

    def put(self, question: bytes, scores: Scores) -> None:
        """Keep what was heard now."""
        digest = _digest(question)
        self._kept[digest] = (self._clock(), scores)
        self._kept.move_to_end(digest)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)


def _digest(question: bytes) -> bytes:
    return hashlib.sha256(question).digest()
