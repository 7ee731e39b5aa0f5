"""What can go wrong between a service and the broker."""

import re

from modelmill_service_kit.errors import ConflictError, UnavailableError
from nats.js.errors import APIError

NO_ROOM = (10023, 10047)
"""The broker's codes for "insufficient resources" and "insufficient storage resources"."""


class StaleWriteError(ConflictError):
    """A compare-and-set lost: somebody wrote the subject first.

    `last` is the sequence that the subject has now, or None when the broker did not say.
    """

    reason = "STALE_WRITE"

    def __init__(self, message: str, last: int | None = None) -> None:
        super().__init__(message)
        self.last = last

    @classmethod
    def of(cls, subject: str, answer: APIError) -> "StaleWriteError":
        """As the broker's answer says."""
        found = re.search(r"wrong last sequence: (\d+)", answer.description or "")
        last = int(found[1]) if found else None
        return cls(f"{subject} was written by somebody else first", last)


class StreamFullError(UnavailableError):
    """A stream takes nothing more: nothing was stored, and nothing of what it holds is lost.

    Only who runs the broker can give it more room; until then it is retried.
    """

    reason = "STREAM_FULL"

    def __init__(self, what: str) -> None:
        said = f"{what}: its stream is full; nothing was stored, and an operator must make room"
        super().__init__(said, retry_after_seconds=30.0)


class BrokerDiskFullError(UnavailableError):
    """The broker is there and stores nothing: its disk is full, or far too slow.

    As after any silence, what was published may be stored later. It goes on once there is space.
    """

    reason = "BROKER_DISK_FULL"

    def __init__(self, what: str) -> None:
        said = (
            f"{what}: the message broker is there and stores nothing, as when its disk is full."
            " Free space on the broker's disk and repeat"
        )
        super().__init__(said, retry_after_seconds=30.0)


class NotAllowedError(UnavailableError):
    """The broker does not allow our identity this subject; only who runs the broker can mend it.

    To a caller it is a broker that does not answer, and so it is retried, and goes on once mended.
    """
