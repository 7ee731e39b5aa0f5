"""The one table from domain errors to statuses, and the way back on the client's side."""

import json
from typing import NamedTuple

import grpc

from service_kit.errors import (
    AlreadyExistsError,
    DeadlineError,
    DomainError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
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
    UnauthenticatedError: Status(grpc.StatusCode.UNAUTHENTICATED, 401),
    PermissionDeniedError: Status(grpc.StatusCode.PERMISSION_DENIED, 403),
    OverloadedError: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    UnavailableError: Status(grpc.StatusCode.UNAVAILABLE, 503),
    DeadlineError: Status(grpc.StatusCode.DEADLINE_EXCEEDED, 504),
}
"""Every direct subclass of `DomainError`; deeper subclasses use their parent's row."""

ERRORS_METADATA = "modelmill-errors"
RETRY_METADATA = "retry-after"


def status_of(error: DomainError) -> Status:
    """The row of `error`'s class or of its nearest ancestor in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def trailing_metadata(error: DomainError) -> tuple[tuple[str, str], ...]:
    """What a status message cannot carry: the list of errors, the time to wait."""
    if isinstance(error, InvalidInputError):
        return ((ERRORS_METADATA, json.dumps(error.errors)),)
    if isinstance(error, OverloadedError | UnavailableError):
        return ((RETRY_METADATA, f"{error.retry_after_seconds:g}"),)
    return ()


def error_from_rpc(error: grpc.aio.AioRpcError) -> DomainError | None:
    """The domain error that a service answered with, or None when the status is not one of ours.

    UNAVAILABLE and DEADLINE_EXCEEDED come back as domain errors also when gRPC itself raised them:
    to a caller a service that is down and one that says so are the same thing.
    """
    details = error.details() or ""
    metadata = {str(key): value for key, value in error.trailing_metadata() or ()}
    by_code = {status.grpc: cls for cls, status in STATUS.items()}
    cls = by_code.get(error.code())
    if cls is None:
        return None
    message = details.removeprefix(f"{cls.reason}: ")
    if cls is InvalidInputError:
        return InvalidInputError(json.loads(metadata.get(ERRORS_METADATA, "null")) or message)
    if cls is OverloadedError:
        return OverloadedError(message, retry_after_seconds=float(metadata.get(RETRY_METADATA, 1)))
    if cls is UnavailableError:
        return UnavailableError(message, retry_after_seconds=float(metadata.get(RETRY_METADATA, 2)))
    return cls(message)
