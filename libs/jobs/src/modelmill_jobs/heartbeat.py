"""Whether work still moves."""

import time

HANDLER_SILENCE_SECONDS = 600.0
"""For what a handler does itself, between two reports: copying and hashing, not training."""


class Heartbeat:
    """The last movement of (phase, counter), and how long the phase may be silent."""

    def __init__(self, limit_seconds: float = HANDLER_SILENCE_SECONDS) -> None:
        self.phase = "start"
        self.limit_seconds = limit_seconds
        self._done = 0
        self._moved_at = time.monotonic()

    def beat(self, phase: str, done: int, limit_seconds: float) -> None:
        """Take a report; only a new phase or another counter is a movement."""
        if (phase, done) != (self.phase, self._done):
            self.phase, self._done = phase, done
            self._moved_at = time.monotonic()
        self.limit_seconds = limit_seconds

    def rest(self, limit_seconds: float) -> None:
        """Begin to count anew, with another limit: the silence that follows is not the child's."""
        self._moved_at = time.monotonic()
        self.limit_seconds = limit_seconds

    @property
    def overdue_seconds(self) -> float:
        """For how much longer it has been silent than the phase allows; negative while in time."""
        return time.monotonic() - self._moved_at - self.limit_seconds

    @property
    def overdue(self) -> bool:
        """Whether it has been silent for longer than the phase allows."""
        return self.overdue_seconds > 0
