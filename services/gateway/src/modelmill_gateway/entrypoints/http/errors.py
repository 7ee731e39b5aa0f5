"""Errors in OpenAI's shape, from the one table of statuses and the few that only HTTP knows."""

import json
import math
from typing import Any

from modelmill_service_kit.errors import (
    DomainError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    UnauthenticatedError,
    UnavailableError,
)
from modelmill_service_kit.status import status_of

from modelmill_gateway.domain.errors import (
    BadRequestError,
    ContentPolicyError,
    DefaultRulesError,
    MethodNotAllowedError,
    ModelNotFoundError,
    UnsupportedEncodingError,
)

Headers = list[tuple[bytes, bytes]]
JSON: Headers = [(b"content-type", b"application/json")]

HTTP_STATUS: dict[type[DomainError], int] = {
    MethodNotAllowedError: 405,
    UnsupportedEncodingError: 415,
    BadRequestError: 400,
}
"""What differs from `modelmill_service_kit.status`; the nearest ancestor in the table counts."""

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""OpenAI's `type` by status; the rest is the caller's mistake or ours."""


def http_status(error: DomainError) -> int:
    """The status of a refusal."""
    for cls in type(error).__mro__:
        if cls in HTTP_STATUS:
            return HTTP_STATUS[cls]
    return status_of(error).http


def error_body(error: DomainError, request_id: str) -> bytes:
    """The refusal as JSON: {"error": {...}}."""
    return json.dumps({"error": error_fields(error, request_id)}, ensure_ascii=False).encode()


def error_fields(error: DomainError | None, request_id: str) -> dict[str, Any]:
    """What a caller hears of a refusal; of a bug (None) nothing but where the log has it."""
    if error is None:
        return {
            "message": "internal error; the request id names it in the log",
            "type": "server_error",
            "param": None,
            "code": "internal",
            "request_id": request_id,
        }
    fields: dict[str, Any] = {
        "message": error.message,
        "type": _type(http_status(error)),
        "param": getattr(error, "param", None),
        "code": _code(error),
        "request_id": request_id,
    }
    if isinstance(error, InvalidInputError):
        fields["errors"] = error.errors
    if isinstance(error, ContentPolicyError):
        fields["rules"] = [{"id": rule, "category": category} for rule, category in error.rules]
        fields["policy_digest"] = error.policy_digest
    if isinstance(error, DefaultRulesError):
        fields["default_rules"] = list(error.rules)
    return fields


def error_headers(error: DomainError) -> Headers:
    """What goes with it: how to authenticate, or when to come back."""
    headers = [*JSON]
    if isinstance(error, UnauthenticatedError):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, OverloadedError | UnavailableError):
        seconds = max(1, math.ceil(error.retry_after_seconds))
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(error, MethodNotAllowedError):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if isinstance(error, UnsupportedEncodingError):
        headers.append((b"accept-encoding", b"identity"))
    return headers


def internal_error_body(request_id: str) -> bytes:
    """What a caller hears of a bug."""
    return json.dumps({"error": error_fields(None, request_id)}).encode()


def _type(status: int) -> str:
    return TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _code(error: DomainError) -> str:
    given = getattr(error, "code", None)
    if given is not None:
        return str(given)
    if isinstance(error, ModelNotFoundError):
        return "model_not_found"
    if isinstance(error, NotFoundError):
        return "not_found"
    return error.reason.lower()
