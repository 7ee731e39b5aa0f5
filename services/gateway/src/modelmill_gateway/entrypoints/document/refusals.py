"""The ways in which requests are refused, by status."""

from dataclasses import dataclass
from typing import Any

ERROR: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "additionalProperties": False,
            "required": ["message", "type", "param", "code", "request_id"],
            "properties": {
                "message": {"type": "string", "description": "Message for people."},
                "type": {
                    "enum": [
                        "invalid_request_error",
                        "authentication_error",
                        "permission_error",
                        "rate_limit_error",
                        "server_error",
                    ]
                },
                "param": {"type": ["string", "null"], "description": "Field at fault."},
                "code": {"type": "string", "description": "Stable error code for programs."},
                "request_id": {"type": "string", "description": "Request id, as in x-request-id."},
                "errors": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "List of all errors, if there are several.",
                },
                "rules": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["id", "category"],
                        "properties": {"id": {"type": "string"}, "category": {"type": "string"}},
                    },
                    "description": "Rules of the policy that blocked the input.",
                },
                "policy_digest": {"type": "string"},
                "default_rules": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Default rules that would be removed without being named.",
                },
            },
        }
    },
}


@dataclass(frozen=True)
class Refusal:
    """One status: what it means, and one example of it."""

    name: str
    description: str
    message: str
    type: str
    code: str

    def response(self, schema: dict[str, Any]) -> dict[str, Any]:
        """As a response object of OpenAPI."""
        example = {
            "message": self.message,
            "type": self.type,
            "param": None,
            "code": self.code,
            "request_id": "req-0b8f",
        }
        content = {"schema": schema, "example": {"error": example}}
        return {"description": self.description, "content": {"application/json": content}}


WRONG, OURS = "invalid_request_error", "server_error"

REFUSALS = {
    400: Refusal(
        "BadRequest",
        ("The request is invalid, asks for something unsupported, or violates the content policy."),
        "n: this value is not supported",
        WRONG,
        "unsupported_parameter",
    ),
    401: Refusal(
        "Unauthenticated",
        "No token, or one that does not verify.",
        "the token has expired",
        "authentication_error",
        "unauthenticated",
    ),
    403: Refusal(
        "Forbidden",
        "The token does not grant the scope of this route.",
        "the token does not grant the scope chat",
        "permission_error",
        "permission_denied",
    ),
    404: Refusal(
        "NotFound",
        "An object that the request names does not exist, or belongs to another tenant.",
        "the model 'kind' does not exist. Did you mean 'kinds'? GET /v1/models lists what there is",
        WRONG,
        "model_not_found",
    ),
    409: Refusal(
        "Conflict",
        "The request conflicts with the present state; the message names the obstacle.",
        "job job-1 has succeeded",
        WRONG,
        "failed_precondition",
    ),
    413: Refusal(
        "TooLarge",
        "The body, or the file in it, is too large.",
        "the body is larger than 1048576 bytes",
        WRONG,
        "too_large",
    ),
    415: Refusal(
        "UnsupportedEncoding",
        "The body is compressed or encoded; send it as it is, without Content-Encoding.",
        "content-encoding: gzip is not decoded. Send the body as it is, without this header",
        WRONG,
        "unsupported_encoding",
    ),
    422: Refusal(
        "Unprocessable",
        "The body is wrong; `errors` lists everything.",
        "file_id: field required",
        WRONG,
        "invalid_input",
    ),
    429: Refusal(
        "OverLimit",
        (
            "A limit of the key, of its maker or of the tenant would be "
            "exceeded. Retry after Retry-After seconds."
        ),
        "the key key-77aa may use 60 requests in a minute, and this request would exceed that",
        "rate_limit_error",
        "rate_limit_exceeded",
    ),
    500: Refusal(
        "Internal",
        "Internal error; the log has it under the request id.",
        "internal error; the request id names it in the log",
        OURS,
        "internal",
    ),
    503: Refusal(
        "Unavailable",
        ("A service does not answer, or there is no capacity. Retry after Retry-After seconds."),
        "moderation gives no verdict, so nothing passes",
        OURS,
        "unavailable",
    ),
    504: Refusal(
        "TooLate",
        "The deadline of the request has passed.",
        "the request's time is over",
        OURS,
        "deadline_exceeded",
    ),
}
