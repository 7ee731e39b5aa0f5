"""The one table from domain errors to statuses, and the way back on the client's side."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import grpc

from service_kit.errors import (
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


def status_of(error: DomainError) -> Status:
    """The row of `error`'s class or of its nearest ancestor in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def trailing_metadata(error: DomainError) -> tuple[tuple[str, str], ...]:
    """What a status message cannot carry: the reason, the list of errors, the time to wait."""
    reason = (REASON_METADATA, error.reason)
    if isinstance(error, InvalidInputError):
        return (reason, (ERRORS_METADATA, json.dumps(error.errors)))
    if isinstance(error, OverloadedError | UnavailableError):
        return (reason, (RETRY_METADATA, f"{error.retry_after_seconds:g}"))
    return (reason,)


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
