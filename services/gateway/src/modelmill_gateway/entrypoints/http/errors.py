"""Errors over HTTP: the one place where they become statuses, headers and bodies."""

import json
import logging
import math
from typing import Any, cast

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
    FullError,
    MethodNotAllowedError,
    ModelNotFoundError,
    QuotaExceededError,
    UnsupportedEncodingError,
)
from modelmill_gateway.domain.routes import Dialect
from modelmill_gateway.entrypoints.schemas.errors import ErrorFields

log = logging.getLogger(__name__)

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
ANTHROPIC_TYPES = TYPES | {
    402: "billing_error",
    404: "not_found_error",
    413: "request_too_large",
    504: "timeout_error",
}
"""Anthropic's, in the same way."""
ANTHROPIC_OVERLOADED = "overloaded_error"
"""Of a refusal for want of room, which is ours and has its own type there."""

Refusal = DomainError | None
"""Why a request is refused; None is a bug of ours, of which callers hear nothing but the id."""


def refusal_in(error: Exception, where: str, request_id: str) -> Refusal:
    """The refusal that an exception stands for; a bug is logged."""
    if isinstance(error, DomainError):
        return error
    log.error("unexpected error in %s, request %s", where, request_id, exc_info=error)
    return None


def http_status(refusal: Refusal) -> int:
    """Its status."""
    if refusal is None:
        return 500
    for cls in type(refusal).__mro__:
        if cls in HTTP_STATUS:
            return HTTP_STATUS[cls]
    return status_of(refusal).http


def retry_after(refusal: Refusal) -> int:
    """Whole seconds after which to come back; 0 where nothing is said of it."""
    if isinstance(refusal, OverloadedError | UnavailableError):
        return max(1, math.ceil(refusal.retry_after_seconds))
    return 0


def error_headers(refusal: Refusal) -> Headers:
    """What goes with it: how to authenticate, or when to come back."""
    headers = [*JSON]
    if isinstance(refusal, UnauthenticatedError):
        headers.append((b"www-authenticate", b"Bearer"))
    if seconds := retry_after(refusal):
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(refusal, QuotaExceededError):
        headers += refusal.headers
    if isinstance(refusal, MethodNotAllowedError):
        headers.append((b"allow", ", ".join(refusal.allowed).encode()))
    if isinstance(refusal, UnsupportedEncodingError):
        headers.append((b"accept-encoding", b"identity"))
    return headers


def error_body(refusal: Refusal, request_id: str, dialect: Dialect = Dialect.OPENAI) -> bytes:
    """The refusal as JSON in the shape of the route's clients: {"error": {...}}."""
    fields = error_fields(refusal, request_id)
    body: dict[str, Any] = {"error": fields}
    if dialect is Dialect.ANTHROPIC:
        is_full = isinstance(refusal, FullError)
        kind = ANTHROPIC_OVERLOADED if is_full else anthropic_type(http_status(refusal))
        body = {"type": "error", "error": {**fields, "type": kind}, "request_id": request_id}
    return json.dumps(body, ensure_ascii=False).encode()


def error_fields(refusal: Refusal, request_id: str) -> ErrorFields:
    """What a caller hears of it, as OpenAI names it."""
    if refusal is None:
        return {
            "message": "internal error; the request id names it in the log",
            "type": "server_error",
            "param": None,
            "code": "internal",
            "request_id": request_id,
        }
    fields: ErrorFields = {
        "message": refusal.message,
        "type": cast(Any, openai_type(http_status(refusal))),
        "param": getattr(refusal, "param", None),
        "code": _code(refusal),
        "request_id": request_id,
    }
    if isinstance(refusal, InvalidInputError):
        fields["errors"] = refusal.errors
    if isinstance(refusal, ContentPolicyError):
        fields["rules"] = [{"id": rule, "category": category} for rule, category in refusal.rules]
        fields["policy_digest"] = refusal.policy_digest
    if isinstance(refusal, DefaultRulesError):
        fields["default_rules"] = list(refusal.rules)
    return fields


def openai_type(status: int) -> str:
    """OpenAI's `type` of a refusal with that status."""
    return _type(status, TYPES, "server_error")


def anthropic_type(status: int) -> str:
    """Anthropic's `type` of a refusal with that status."""
    return _type(status, ANTHROPIC_TYPES, "api_error")


def _type(status: int, types: dict[int, str], ours: str) -> str:
    return types.get(status, ours if status >= 500 else "invalid_request_error")


def _code(error: DomainError) -> str:
    given = getattr(error, "code", None)
    if given is not None:
        return str(given)
    if isinstance(error, ModelNotFoundError):
        return "model_not_found"
    if isinstance(error, NotFoundError):
        return "not_found"
    return error.reason.lower()
