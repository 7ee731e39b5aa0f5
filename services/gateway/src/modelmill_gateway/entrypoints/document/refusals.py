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
                "message": {"type": "string", "description": "For people."},
                "type": {
                    "enum": [
                        "invalid_request_error",
                        "authentication_error",
                        "permission_error",
                        "rate_limit_error",
                        "server_error",
                    ]
                },
                "param": {"type": ["string", "null"], "description": "The field at fault."},
                "code": {"type": "string", "description": "A stable word that programs may test."},
                "request_id": {"type": "string", "description": "Also in x-request-id."},
                "errors": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Everything that is wrong, where several things are.",
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
                    "description": "Those that a policy would take out of force unnamed.",
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
        "The request is wrong, asks for what is not served, or breaks the content policy.",
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
        "Something that the request names does not exist, or is another tenant's.",
        "the model 'kind' does not exist. Did you mean 'kinds'? GET /v1/models lists what there is",
        WRONG,
        "model_not_found",
    ),
    409: Refusal(
        "Conflict",
        "The request is right, but not in the present state; the message names what is in the way.",
        "job job-1 has succeeded",
        WRONG,
        "failed_precondition",
    ),
    413: Refusal(
        "TooLarge",
        "The body, or the file in it, is larger than is taken.",
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
        "A limit of the key, of one that made it or of the tenant would be exceeded. Come back "
        "after Retry-After seconds.",
        "the key key-77aa may use 60 requests in a minute, and this request would exceed that",
        "rate_limit_error",
        "rate_limit_exceeded",
    ),
    500: Refusal(
        "Internal",
        "A bug; the request id names it in the log.",
        "internal error; the request id names it in the log",
        OURS,
        "internal",
    ),
    503: Refusal(
        "Unavailable",
        "A neighbour does not answer, or there is no room now, whoever asks. Come back "
        "after Retry-After seconds.",
        "moderation gives no verdict, so nothing passes",
        OURS,
        "unavailable",
    ),
    504: Refusal(
        "TooLate",
        "The request's time is over.",
        "the request's time is over",
        OURS,
        "deadline_exceeded",
    ),
}
