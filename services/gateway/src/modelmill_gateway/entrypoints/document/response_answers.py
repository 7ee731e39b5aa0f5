"""Shapes and examples of OpenAI's Responses API."""

from typing import Any, Literal

from pydantic import Field

from modelmill_gateway.entrypoints.document.examples import AT, MODEL
from modelmill_gateway.entrypoints.document.moderation_answers import InlineResult
from modelmill_gateway.entrypoints.document.shape import Answer
from modelmill_gateway.entrypoints.document.text_answers import CascadePath, ChosenLogprob

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(Answer):
    """Text block of the model."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any] = Field(max_length=0)
    logprobs: list[ChosenLogprob]


class OutputMessage(Answer):
    """Message of the model."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputText]


class OutputCall(Answer):
    """Function call that the model asks for. What a policy masks is masked in its arguments."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class InputDetails(Answer):
    """Details of input tokens; cached tokens are not reported."""

    cached_tokens: Literal[0]
    cache_write_tokens: Literal[0]


class OutputDetails(Answer):
    """Details of output tokens; models here do not reason."""

    reasoning_tokens: Literal[0]


class ResponseUsage(Answer):
    """Token usage as the engine counted it."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class IncompleteDetails(Answer):
    """Reason why the response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ResponseFailure(Answer):
    """An error after the first byte."""

    code: Literal["server_error", "rate_limit_exceeded"]
    message: str


class ResponseVerdicts(Answer):
    """Moderation results of input and output."""

    input: InlineResult
    output: InlineResult


class Response(Answer):
    """A response; nothing of it is kept. `x-model-version` says which version answered. The fields
    from `instructions` on repeat the request, or say what cannot be chosen."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    output: list[OutputMessage | OutputCall]
    error: ResponseFailure | None
    incomplete_details: IncompleteDetails | None
    completed_at: int | None
    usage: ResponseUsage | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    prompt_cache_key: str | None
    safety_identifier: str | None
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    user: str | None
    background: Literal[False]
    previous_response_id: None
    reasoning: dict[str, None]
    service_tier: Literal["default"]
    store: Literal[False]
    truncation: Literal["disabled"]
    moderation: ResponseVerdicts | None = None
    cascade: CascadePath | None = None


class ResponseEvent(Answer):
    """Event of a streamed response, numbered by `sequence_number`.

    First come `response.created` and `response.in_progress`. A message has
    `response.output_item.added`, `response.content_part.added`, `response.output_text.delta`,
    `response.output_text.done`, `response.content_part.done`, `response.output_item.done`. A call
    has `response.output_item.added`, `response.function_call_arguments.delta` and `.done`,
    `response.output_item.done`. The last is `response.completed` or `response.incomplete`, or
    `error` and `response.failed`.
    """

    type: str
    sequence_number: int
    response: Response | None = None
    output_index: int = 0
    content_index: int = 0
    item_id: str = ""
    item: OutputMessage | OutputCall | None = None
    part: OutputText | None = None
    delta: str = ""
    text: str = ""
    logprobs: list[ChosenLogprob] = Field(default_factory=list)
    name: str = ""
    arguments: str = ""
    code: str = ""
    message: str = ""
    param: str | None = None


BODY = {"model": MODEL, "input": "espresso: strong black coffee", "max_output_tokens": 16}
RESPONSE: dict[str, Any] = {
    "id": "resp_0b8f",
    "object": "response",
    "created_at": AT,
    "status": "completed",
    "model": MODEL,
    "output": [
        {
            "id": "msg_0b8f_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "beverage", "annotations": [], "logprobs": []}
            ],
        }
    ],
    "error": None,
    "incomplete_details": None,
    "completed_at": AT + 1,
    "usage": {
        "input_tokens": 21,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 23,
    },
    "background": False,
    "instructions": None,
    "max_output_tokens": 16,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
