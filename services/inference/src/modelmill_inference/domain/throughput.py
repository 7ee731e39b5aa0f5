"""How fast an engine works while it is full, and so when a request would begin and end.

Work is counted in generated tokens; one of a prompt counts less, because those of a prompt are
computed together. In a full engine all that is there shares one rate, so that by Little's law a
request stays for (all work in flight) / rate, and what it holds comes free as fast as work is done.
"""

import math
from dataclasses import dataclass

PROMPT_TOKEN_WORK = 0.25
"""Of a prompt's token, over a generated one in a full batch."""
HALF_LIFE_SECONDS = 5.0
"""Of what was seen of the rate; only time in which the engine was full counts."""
LEAST_SECONDS = 1.0
"""An engine that was not full for so long yet has no rate."""
MEMORY = 16
"""Ended answers over which their length is averaged."""
DEVIATIONS = 1.5
"""Above the mean, of an answer that is counted as long: nine of ten stay below."""


@dataclass(slots=True)
class _Lengths:
    mean: float = 0.0
    mean_square: float = 0.0
    count: int = 0

    def add(self, length: float) -> None:
        self.count = min(self.count + 1, MEMORY)
        self.mean += (length - self.mean) / self.count
        self.mean_square += (length * length - self.mean_square) / self.count

    @property
    def long(self) -> float:
        """Most are shorter; the mean where all are the same."""
        return self.mean + DEVIATIONS * math.sqrt(max(0.0, self.mean_square - self.mean**2))


class Throughput:
    """Tokens a second of a full engine, and how long answers become."""

    def __init__(self) -> None:
        self._work = 0.0
        self._seconds = 0.0
        self._now = 0.0
        self._full = False
        self._lengths: dict[int, _Lengths] = {}
        self._all_lengths = _Lengths()

    @property
    def rate(self) -> float | None:
        """Work a second; None as long as there is too little to tell."""
        if self._seconds < LEAST_SECONDS or self._work <= 0:
            return None
        return self._work / self._seconds

    def advance(self, now: float, *, full: bool) -> None:
        """Say how it was until now."""
        elapsed, self._now = now - self._now, now
        self._full = full
        if full:
            fading = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
            self._work *= fading
            self._seconds = self._seconds * fading + elapsed

    def record_work(self, *, prompt_tokens: int = 0, new_tokens: int = 0) -> None:
        """Say what the engine did."""
        if self._full:
            self._work += PROMPT_TOKEN_WORK * prompt_tokens + new_tokens

    def record_answer(self, allowed: int, length: int, *, ended: bool) -> None:
        """Say how long an answer became that might have had `allowed` tokens.

        One that was broken off tells something if it was long already. It counts twice what there
        was of it: if those counted that deadlines cut, all would be cut there.
        """
        known = self._lengths.setdefault(allowed.bit_length(), _Lengths())
        if not ended:
            if length <= known.mean / 2:
                return
            length = min(2 * length, allowed)
        known.add(length)
        self._all_lengths.add(length)

    def expected_work(self, *, prompt_tokens: int, allowed: int, long: bool) -> float:
        """Of one answer.

        Answers to those who allowed about as much are expected to become about as long; before
        anything is known, as long as they may.

        Args:
            long: of one that is longer than most.
        """
        work = PROMPT_TOKEN_WORK * prompt_tokens
        if not allowed:
            return work
        known = self._lengths.get(allowed.bit_length(), self._all_lengths)
        if not known.count:
            known = self._all_lengths
        if not known.count:
            return work + allowed
        return work + min(known.long if long else known.mean, allowed)
