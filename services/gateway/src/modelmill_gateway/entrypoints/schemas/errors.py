"""Errors in the shapes of OpenAI's and Anthropic's clients."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from modelmill_gateway.entrypoints.schemas.moderations import MatchedRule


class CommonErrorFields(TypedDict):
    """What callers of every dialect are told of a refusal."""

    message: Annotated[str, Field(description="Message for people.")]
    param: Annotated[str | None, Field(description="Field at fault.")]
    code: Annotated[str, Field(description="Stable error code for programs.")]
    request_id: Annotated[str, Field(description="Request id, as in x-request-id.")]
    errors: NotRequired[
        Annotated[list[str], Field(description="List of all errors, if there are several.")]
    ]
    rules: NotRequired[
        Annotated[
            list[MatchedRule], Field(description="Rules of the policy that blocked the input.")
        ]
    ]
    policy_digest: NotRequired[str]
    default_rules: NotRequired[
        Annotated[
            list[str],
            Field(description="Default rules that would be removed without being named."),
        ]
    ]


class ErrorFields(CommonErrorFields):
    """Error in OpenAI's shape."""

    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "rate_limit_error",
        "server_error",
    ]


class Error(TypedDict):
    """Error of an OpenAI route or one of ours."""

    error: ErrorFields


class AnthropicErrorFields(CommonErrorFields):
    """Error in Anthropic's shape."""

    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "api_error",
        "overloaded_error",
        "timeout_error",
    ]


class AnthropicError(TypedDict):
    """Error of one of Anthropic's routes."""

    type: Literal["error"]
    error: AnthropicErrorFields
    request_id: str
