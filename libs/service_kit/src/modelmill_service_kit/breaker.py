"""Circuit breaker for a peer that keeps failing, and the Retry-After header of HTTP servers."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Breaker:
    """Lets calls through until some fail in a row, then none for a while, then one to try.

    Outcomes are reported under the number that `admit` gave. Those of calls that began before the
    breaker last opened or closed say nothing of the peer as it is now, and are not counted.

    Args:
        failures: so many in a row open it.
        seconds: it stays open for at least so long.
        clock: seconds that only grow.
    """

    def __init__(self, *, failures: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._period = 0
        """Counts how often it opened or closed."""
        self._failed = 0
        self._open_until: float | None = None
        self._trying = False

    def admit(self) -> int | None:
        """A number under which to report the outcome; None when there is to be no call."""
        if self._open_until is not None:
            if self._trying or self._clock() < self._open_until:
                return None
            self._trying = True
        return self._period

    @property
    def is_closed(self) -> bool:
        """Whether calls go through."""
        return self._open_until is None

    @property
    def remaining_seconds(self) -> float:
        """How long there will be no call."""
        return max((self._open_until or 0.0) - self._clock(), 0.0)

    def succeeded(self, period: int) -> None:
        """The peer is well."""
        if period != self._period:
            return
        self._failed = 0
        if self._open_until is not None:
            self._turn(None)

    def failed(self, period: int, *, at_least_seconds: float = 0.0) -> bool:
        """The peer is not well, and asks to be left alone for so long; whether this opened it."""
        if period != self._period:
            return False
        self._failed += 1
        opens = self._trying or self._failed >= self._limit
        if opens:
            self._turn(self._clock() + max(self._seconds, at_least_seconds))
        return opens

    def abandoned(self, period: int) -> None:
        """The caller left before there was an outcome: another call may try."""
        if period == self._period:
            self._trying = False

    def _turn(self, open_until: float | None) -> None:
        self._period += 1
        self._failed = 0
        self._trying = False
        self._open_until = open_until


def retry_after_seconds(written: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for: seconds, or a date; None when it is neither."""
    if not written:
        return None
    if written.isascii() and written.isdigit() and len(written) < 10:
        return float(written)
    try:
        at = parsedate_to_datetime(written).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at - now).total_seconds())
