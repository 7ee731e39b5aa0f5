"""Refusals in Anthropic's shape, for the routes that are Anthropic's."""

import json
from typing import Any

from modelmill_service_kit.errors import DomainError

from modelmill_gateway.domain.errors import FullError
from modelmill_gateway.entrypoints.http.errors import error_fields, http_status

TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
"""Anthropic's `type` by status; the rest is the caller's mistake or ours."""

OVERLOADED = "overloaded_error"
"""Of a refusal for want of room, which is ours and has its own status there."""


def anthropic_type(status: int) -> str:
    """Anthropic's `type` of a refusal with that status."""
    return TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def anthropic_body(error: DomainError | None, request_id: str) -> bytes:
    """The refusal as JSON, with all that OpenAI's shape tells; None is a bug of ours."""
    fields = error_fields(error, request_id)
    kind = anthropic_type(500 if error is None else http_status(error))
    if isinstance(error, FullError):
        kind = OVERLOADED
    body: dict[str, Any] = {
        "type": "error",
        "error": fields | {"type": kind},
        "request_id": request_id,
    }
    return json.dumps(body, ensure_ascii=False).encode()
