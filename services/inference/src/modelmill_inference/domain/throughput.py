"""Measures the throughput of a full engine, to estimate when a request would start and end.

Work is measured in generated tokens; prompt tokens count less, because they are computed in
parallel. In a full engine all requests share one rate. By Little's law a request stays for
(work in flight) / rate, and its capacity is freed at the same rate.
"""

import math
from dataclasses import dataclass

PROMPT_TOKEN_WORK = 0.25
"""Cost of a prompt token relative to a generated one, in a full batch."""
HALF_LIFE_SECONDS = 5.0
"""Half-life of measurements; only time with a full engine counts."""
LEAST_SECONDS = 1.0
"""Minimum time with a full engine, before there is a rate."""
MEMORY = 16
"""Answers in the moving average of lengths."""
DEVIATIONS = 1.5
"""Standard deviations above the mean, for a long answer: nine of ten are shorter."""


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
        """Length that most answers do not exceed."""
        return self.mean + DEVIATIONS * math.sqrt(max(0.0, self.mean_square - self.mean**2))


class Throughput:
    """Tokens per second of a full engine, and answer lengths."""

    def __init__(self) -> None:
        self._work = 0.0
        self._seconds = 0.0
        self._now = 0.0
        self._full = False
        self._lengths: dict[int, _Lengths] = {}
        self._all_lengths = _Lengths()

    @property
    def rate(self) -> float | None:
        """Work per second; None with too little data."""
        if self._seconds < LEAST_SECONDS or self._work <= 0:
            return None
        return self._work / self._seconds

    def advance(self, now: float, *, full: bool) -> None:
        """Advance the clock; `full` is the state until now."""
        elapsed, self._now = now - self._now, now
        self._full = full
        if full:
            fading = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
            self._work *= fading
            self._seconds = self._seconds * fading + elapsed

    def record_work(self, *, prompt_tokens: int = 0, new_tokens: int = 0) -> None:
        """Record completed work."""
        if self._full:
            self._work += PROMPT_TOKEN_WORK * prompt_tokens + new_tokens

    def record_answer(self, allowed: int, length: int, *, ended: bool) -> None:
        """Record the length of an answer with a limit of `allowed` tokens.

        An aborted answer counts only if it was long already, and then with twice its length:
        otherwise timeouts would lower the estimates and cause more timeouts.
        """
        known = self._lengths.setdefault(allowed.bit_length(), _Lengths())
        if not ended:
            if length <= known.mean / 2:
                return
            length = min(2 * length, allowed)
        known.add(length)
        self._all_lengths.add(length)

    def expected_work(self, *, prompt_tokens: int, allowed: int, long: bool) -> float:
        """Expected work of one answer.

        The estimate is from answers with a similar limit, or the limit itself without data.

        Args:
            long: for an answer that is longer than most.
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
