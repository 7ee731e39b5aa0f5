"""Errors a caller can act on. Everything else is a bug and surfaces as INTERNAL.

To add one: subclass `DomainError`, set `reason`, and add its row to
`modelmill_service_kit.status.STATUS` (a test fails until the row is there).
"""

import errno
from collections.abc import Sequence
from typing import Self


class DomainError(Exception):
    """A rule said no. `reason` is a stable machine-readable word, the message is for people."""

    reason: str

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def because(self, reason: str) -> Self:
        """The same error under a narrower word, as another service gave it."""
        if reason != self.reason:
            self.reason = reason
        return self


class NotFoundError(DomainError):
    """The named thing does not exist, or is another tenant's: callers cannot tell which."""

    reason = "NOT_FOUND"


class InvalidInputError(DomainError):
    """The request is wrong. `errors` lists everything that is wrong with it, not the first."""

    reason = "INVALID_INPUT"

    def __init__(self, errors: str | Sequence[str]) -> None:
        self.errors = [errors] if isinstance(errors, str) else list(errors)
        super().__init__("; ".join(self.errors))


class UnreadableRequestError(InvalidInputError):
    """The bytes of a request are no message of its type; what it says, nobody can know."""


class AlreadyExistsError(DomainError):
    """The id or key was used before, for something else."""

    reason = "ALREADY_EXISTS"


class PreconditionError(DomainError):
    """The request is right, but the system is not in a state to do it; waiting alone won't help."""

    reason = "FAILED_PRECONDITION"


class ConflictError(PreconditionError):
    """Somebody else wrote first: look again and decide again."""

    reason = "CONFLICT"


class UnauthenticatedError(DomainError):
    """No token, or one that does not verify."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(DomainError):
    """The token is good but does not grant this."""

    reason = "PERMISSION_DENIED"


class TooLargeError(DomainError):
    """What was sent is larger than the limit, which the message names; waiting does not help."""

    reason = "TOO_LARGE"


class OverloadedError(DomainError):
    """There is no room now. Nothing was begun; retry after `retry_after_seconds`."""

    reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, over quota, over the process's own limit: to a caller they are one thing."""


class DiskFullError(OverloadedError):
    """There is no space left. Nothing became visible; the same call succeeds once there is."""

    reason = "DISK_FULL"

    def __init__(self, message: str, *, retry_after_seconds: float = 30.0) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)

    @classmethod
    def from_os_error(cls, error: OSError, where: object = "") -> "DiskFullError | None":
        """What a failed write says of the disk, or None when it failed for another reason."""
        if error.errno not in DISK_FULL_ERRNOS:
            return None
        place = where or error.filename or "a disk of this service"
        return cls(f"disk full on {place}. Free space and repeat")


class UnavailableError(DomainError):
    """Something that this needs does not answer. Retry after `retry_after_seconds`."""

    reason = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after_seconds: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnreachableError(UnavailableError):
    """Nobody answers at the address: gRPC itself says so, and no service of ours."""


class DeadlineError(DomainError):
    """The caller's deadline passed before the answer was there."""

    reason = "DEADLINE_EXCEEDED"
