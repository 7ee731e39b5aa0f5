"""The ways in which requests are refused, by status, in the shapes of both dialects."""

from dataclasses import dataclass
from typing import Any

from modelmill_gateway.entrypoints.http.errors import anthropic_type, openai_type

ANTHROPIC = "Anthropic{name}"
"""Of a response object, after that of the refusal."""


@dataclass(frozen=True)
class Refusal:
    """One status: what it means, and one example of it."""

    name: str
    description: str
    message: str
    code: str


REFUSALS = {
    400: Refusal(
        "BadRequest",
        (
            "The request is invalid, asks for something unsupported, or violates the content"
            " policy. Codes: `unsupported_parameter`, `unknown_parameter`, `invalid_json`,"
            " `context_length_exceeded`, `input_too_long`, `engine_cannot`,"
            " `content_policy_violation`, `invalid_request`."
        ),
        "suffix: not supported here, or not with this value. Leave it out",
        "unsupported_parameter",
    ),
    401: Refusal(
        "Unauthenticated",
        "No token, or one that does not verify.",
        "the token has expired",
        "unauthenticated",
    ),
    403: Refusal(
        "Forbidden",
        (
            "The token does not grant the scope of this route or may not ask for the model, or its"
            " tenant is suspended or deleted. Codes: `permission_denied`, `model_not_allowed`,"
            " `tenant_suspended`, `tenant_deleted`."
        ),
        "the token does not grant the scope chat",
        "permission_denied",
    ),
    404: Refusal(
        "NotFound",
        "An object that the request names does not exist, or belongs to another tenant.",
        "the model 'kind' does not exist. Did you mean 'kinds'? GET /v1/models lists what there is",
        "model_not_found",
    ),
    409: Refusal(
        "Conflict",
        "The request conflicts with the present state; the message names the obstacle.",
        "job job-1 has succeeded",
        "failed_precondition",
    ),
    413: Refusal(
        "TooLarge",
        "The body, or the file in it, is too large.",
        "the body is larger than 1048576 bytes",
        "too_large",
    ),
    415: Refusal(
        "UnsupportedEncoding",
        "The body is compressed or encoded; send it as it is, without Content-Encoding.",
        "content-encoding: gzip is not decoded. Send the body as it is, without this header",
        "unsupported_encoding",
    ),
    422: Refusal(
        "Unprocessable",
        "The body is wrong; `errors` lists everything.",
        "file_id: field required",
        "invalid_input",
    ),
    429: Refusal(
        "OverLimit",
        (
            "A limit of the key, of its maker or of the tenant would be "
            "exceeded. Retry after Retry-After seconds. Codes: `rate_limit_exceeded` for those of a"
            " minute, `insufficient_quota` for those of a longer period."
        ),
        (
            "the key key-77aa may use 3000 tokens a day; 2877 are left, and this request may need"
            " 4013. Lower max_tokens"
        ),
        "insufficient_quota",
    ),
    500: Refusal(
        "Internal",
        "Internal error; the log has it under the request id.",
        "internal error; the request id names it in the log",
        "internal",
    ),
    503: Refusal(
        "Unavailable",
        "A service does not answer, or there is no capacity. Retry after Retry-After seconds.",
        "moderation gives no verdict, so nothing passes",
        "unavailable",
    ),
    504: Refusal(
        "TooLate",
        "The deadline of the request has passed.",
        "the request's time is over",
        "deadline_exceeded",
    ),
}


def refusal_responses(error: Any, anthropic_error: Any) -> dict[str, Any]:
    """The response objects of all refusals by their names, in the shapes of these schemas."""
    made = {}
    for status, refusal in REFUSALS.items():
        fields = {
            "message": refusal.message,
            "type": openai_type(status),
            "param": None,
            "code": refusal.code,
            "request_id": "req-0b8f",
        }
        anthropic = {
            "type": "error",
            "error": fields | {"type": anthropic_type(status)},
            "request_id": fields["request_id"],
        }
        made[refusal.name] = _response(refusal, error, {"error": fields})
        name = ANTHROPIC.format(name=refusal.name)
        made[name] = _response(refusal, anthropic_error, anthropic)
    return made


def _response(refusal: Refusal, schema: Any, example: Any) -> dict[str, Any]:
    content = {"schema": schema, "example": example}
    return {"description": refusal.description, "content": {"application/json": content}}
