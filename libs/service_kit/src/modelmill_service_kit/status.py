"""The one table from domain errors to statuses, and the way back on the client's side."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

import grpc

from modelmill_service_kit.errors import (
    AlreadyExistsError,
    ConflictError,
    DeadlineError,
    DiskFullError,
    DomainError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)


class Status(NamedTuple):
    grpc: grpc.StatusCode
    http: int


STATUS: dict[type[DomainError], Status] = {
    NotFoundError: Status(grpc.StatusCode.NOT_FOUND, 404),
    InvalidInputError: Status(grpc.StatusCode.INVALID_ARGUMENT, 422),
    AlreadyExistsError: Status(grpc.StatusCode.ALREADY_EXISTS, 422),
    PreconditionError: Status(grpc.StatusCode.FAILED_PRECONDITION, 409),
    ConflictError: Status(grpc.StatusCode.ABORTED, 409),
    UnauthenticatedError: Status(grpc.StatusCode.UNAUTHENTICATED, 401),
    PermissionDeniedError: Status(grpc.StatusCode.PERMISSION_DENIED, 403),
    OverloadedError: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    DiskFullError: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 507),
    TooLargeError: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 413),
    UnavailableError: Status(grpc.StatusCode.UNAVAILABLE, 503),
    DeadlineError: Status(grpc.StatusCode.DEADLINE_EXCEEDED, 504),
}
"""Every direct subclass of `DomainError`; deeper ones without a row use their parent's.

Of those with the same gRPC status the first is what a status without a known reason becomes.
"""

_BY_CODE = {status.grpc: cls for cls, status in reversed(STATUS.items())}
_BY_CODE_AND_REASON = {(status.grpc, cls.reason): cls for cls, status in STATUS.items()}

REASON_METADATA = "modelmill-reason"
"""On every refusal by a service; gRPC itself has no such metadata on the statuses it makes up."""
ERRORS_METADATA = "modelmill-errors"
RETRY_METADATA = "retry-after"
MAX_SAID_BYTES = 3000
"""Of the message and of the list of errors, each as it is on the wire: gRPC drops calls whose
metadata is larger than 8 KiB, now and then, and with it the reason."""
CUT = " …"
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def status_of(error: DomainError) -> Status:
    """The row of `error`'s class or of its nearest ancestor in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def trailing_metadata(error: DomainError) -> tuple[tuple[str, str], ...]:
    """What a status message cannot carry: the reason, the list of errors, the time to wait."""
    reason = (REASON_METADATA, error.reason)
    if isinstance(error, InvalidInputError):
        return (reason, (ERRORS_METADATA, _listed(error.errors)))
    if isinstance(error, OverloadedError | UnavailableError):
        return (reason, (RETRY_METADATA, f"{error.retry_after_seconds:g}"))
    return (reason,)


def details_of(error: DomainError) -> str:
    """The message as a status carries it: its reason in front, cut where it is too long."""
    whole = f"{error.reason}: {error.message}"
    # Halves of characters, which cannot be sent, become question marks.
    said = whole[:MAX_SAID_BYTES].encode(errors="replace").decode()
    while _bytes_on_the_wire(said) > MAX_SAID_BYTES:
        said = said[: len(said) * 3 // 4]
    return said if len(said) == len(whole) else said + CUT


def _bytes_on_the_wire(text: str) -> int:
    """gRPC writes what is not printable ASCII as %XX."""
    return len(quote(text, safe=_PLAIN))


def _listed(errors: Sequence[str]) -> str:
    """The errors as JSON, as many of them and as much of each as there is room for."""
    if (
        sum(map(len, errors)) <= MAX_SAID_BYTES
        and len(whole := json.dumps(errors)) <= MAX_SAID_BYTES
    ):
        return whole
    kept: list[str] = []
    room = MAX_SAID_BYTES - 100
    for number, error in enumerate(errors):
        said = error if len(error) <= 200 else error[:200] + CUT
        room -= len(json.dumps(said)) + 2
        if room < 0:
            return json.dumps([*kept, f"and {len(errors) - number} more"])
        kept.append(said)
    return json.dumps(kept)


def was_said_by_a_service(error: grpc.aio.AioRpcError) -> bool:
    """Whether a service of ours answered so, rather than gRPC on either side."""
    return any(key == REASON_METADATA for key, _ in error.trailing_metadata() or ())


def error_from_rpc(error: grpc.aio.AioRpcError) -> DomainError | None:
    """The domain error that a service answered with, or None when the status is not one of ours.

    UNAVAILABLE and DEADLINE_EXCEEDED come back as domain errors also when gRPC itself raised them:
    to a caller a service that is down and one that says so are the same thing.
    """
    metadata = {str(key): str(value) for key, value in error.trailing_metadata() or ()}
    fallback = _BY_CODE.get(error.code())
    if fallback is None:
        return None
    reason = metadata.get(REASON_METADATA, fallback.reason)
    cls = _BY_CODE_AND_REASON.get((error.code(), reason), fallback)
    message = (error.details() or "").removeprefix(f"{reason}: ")
    return _rebuilt(cls, message, metadata).because(reason)


def _rebuilt(cls: type[DomainError], message: str, metadata: Mapping[str, str]) -> DomainError:
    if cls is InvalidInputError:
        return InvalidInputError(json.loads(metadata.get(ERRORS_METADATA, "null")) or message)
    if issubclass(cls, OverloadedError):
        return cls(message, retry_after_seconds=float(metadata.get(RETRY_METADATA, 1)))
    if cls is UnavailableError:
        return UnavailableError(message, retry_after_seconds=float(metadata.get(RETRY_METADATA, 2)))
    return cls(message)
