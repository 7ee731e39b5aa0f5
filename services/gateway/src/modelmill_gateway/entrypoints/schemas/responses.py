"""OpenAI's Responses API, as far as a server can answer it that keeps nothing."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Required

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from modelmill_gateway.domain.chat import (
    MAX_ALTERNATIVES,
    ChatCall,
    Constraint,
    End,
    Sampling,
    Tool,
    Turn,
)
from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.entrypoints.schemas.base import ModelName, UnixSeconds
from modelmill_gateway.entrypoints.schemas.chat import MAX_NEW_TOKENS, QUESTION, greedy_if_certain
from modelmill_gateway.entrypoints.schemas.constraints import ANY_OBJECT, Schema
from modelmill_gateway.entrypoints.schemas.moderations import (
    InlineModerationBody,
    InlineResult,
    moderation_field,
)
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody, parse_open
from modelmill_gateway.entrypoints.schemas.response_items import Input, turns_of
from modelmill_gateway.entrypoints.schemas.texts import (
    MAX_TOOLS,
    CascadeField,
    ChosenLogprob,
    FunctionBody,
    NamedFunction,
    checked_choice,
    may_call_several,
    refuse_unknown,
)
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers

LOGPROBS = "message.output_text.logprobs"
MAX_METADATA = 16

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (None, False),
    "context_management": (None, []),
    "conversation": (None,),
    "previous_response_id": (None,),
    "prompt": (None,),
    "store": (None, False),
    "truncation": (None, "disabled"),
}
"""Fields that would change the answer, or need a server that keeps something, with the values that
do not. Anything else is refused by name."""
IGNORED = frozenset(("prompt_cache_options", "prompt_cache_retention", "service_tier"))
"""Fields that would change no answer here."""
NEUTRAL_REASONING = (None, "none")
"""Efforts of models that do not reason."""
NEUTRAL_VERBOSITY = (None, "medium")
TOOL_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "allowed_callers": (None, ["direct"]),
    "defer_loading": (None, False),
}


class _OfFunction(OpenBody):
    """Type field, checked before the fields of the function beside it."""

    type: Literal["function"]


class FunctionTool(FunctionBody, _OfFunction):
    """A function that the model may call; OpenAI's built-in tools are not served."""

    strict: bool | None = None


class OneFunction(NamedFunction, _OfFunction):
    """Tool choice: the function that must be called."""


class TextFormat(OpenBody):
    """Output format."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = Field(None, min_length=1, max_length=64)
    json_schema: Schema | None = Field(None, alias="schema")

    @model_validator(mode="after")
    def _has_its_schema(self) -> "TextFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("schema goes with the type json_schema, and only with it")
        return self

    @property
    def constraint(self) -> Constraint | None:
        """What it asks for; None for any text."""
        if self.type == "text":
            return None
        schema = self.json_schema
        text = ANY_OBJECT if schema is None else json.dumps(schema, ensure_ascii=False)
        return Constraint("json_schema", text)


class TextConfig(OpenBody):
    """Text options."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ReasoningConfig(OpenBody):
    """Reasoning options; models here do not reason."""

    effort: str | None = None


class ResponseStreamOptions(OpenBody):
    """Stream options; padding is not supported."""

    include_obfuscation: Literal[False] | None = None


class ResponseBody(OpenBody):
    """Request body of POST /v1/responses."""

    model: ModelName = Field(min_length=1, max_length=256, description="Alias, version id or name.")
    input: Input = Field(examples=[QUESTION["content"]])
    instructions: str | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS, examples=[16])
    max_tool_calls: int | None = Field(None, description="Of built-in tools; there are none.")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    tools: list[FunctionTool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | OneFunction | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: list[str] | None = Field(None, max_length=16)
    top_logprobs: int | None = Field(None, ge=0, le=MAX_ALTERNATIVES)
    metadata: dict[str, Annotated[str, Field(max_length=512)]] | None = Field(
        None, max_length=MAX_METADATA
    )
    moderation: InlineModerationBody | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


@dataclass(frozen=True)
class ResponseRequest:
    """A parsed request: what is asked, how the answer is sent, and what it repeats."""

    call: ChatCall
    stream: bool
    body: ResponseBody


def parse_response(body: bytes) -> ResponseRequest:
    """The request in a body of /v1/responses.

    Raises:
        BadRequestError: not JSON, not of this shape, or it asks for what is not served; `param` is
            the first field at fault.
    """
    parsed = parse_open(body, ResponseBody)
    _refuse_unserved(parsed)
    tools = tuple(each.tool for each in parsed.tools or ())
    wants_logprobs = LOGPROBS in (parsed.include or ())
    if tools and wants_logprobs:
        # Its tokens would say what a call says in escapes that no guard reads.
        raise BadRequestError(f"include: {LOGPROBS} not together with tools", param="include")
    if parsed.top_logprobs and not wants_logprobs:
        message = f"top_logprobs: only with {LOGPROBS} in include"
        raise BadRequestError(message, param="top_logprobs")
    told = (Turn("system", parsed.instructions),) if parsed.instructions else ()
    call = ChatCall(
        parsed.model,
        (*told, *turns_of(parsed.input)),
        _sampling(parsed, wants_logprobs=wants_logprobs),
        field="input",
        user=parsed.user or "",
        tools=tools,
        tool_choice=_chosen(parsed.tool_choice, tools),
        moderation=parsed.moderation.requested if parsed.moderation else None,
    )
    return ResponseRequest(call, bool(parsed.stream), parsed)


def _refuse_unserved(parsed: ResponseBody) -> None:
    extra = parsed.model_extra or {}
    wrong = [name for name, values in NEUTRAL.items() if extra.get(name) not in values]
    for index, tool in enumerate(parsed.tools or ()):
        given = tool.model_extra or {}
        names = [name for name, values in TOOL_NEUTRAL.items() if given.get(name) not in values]
        wrong += [f"tools.{index}.{name}" for name in names]
    if parsed.reasoning is not None and parsed.reasoning.effort not in NEUTRAL_REASONING:
        wrong.append("reasoning.effort")
    if parsed.text is not None and parsed.text.verbosity not in NEUTRAL_VERBOSITY:
        wrong.append("text.verbosity")
    is_single = parsed.parallel_tool_calls is False
    if is_single and may_call_several(parsed.tool_choice, parsed.tools):
        wrong.append("parallel_tool_calls")
    if wrong:
        raise unsupported(*wrong)
    refuse_unknown(parsed, NEUTRAL.keys() | IGNORED)
    if parsed.stream_options is not None and not parsed.stream:
        raise BadRequestError("stream_options: only with stream", param="stream_options")


def _chosen(choice: str | OneFunction | None, tools: tuple[Tool, ...]) -> str:
    if isinstance(choice, OneFunction):
        return checked_choice("", choice.name, tools)
    return checked_choice(choice or "auto", "", tools)


def _sampling(parsed: ResponseBody, *, wants_logprobs: bool) -> Sampling:
    temperature, top_p = greedy_if_certain(parsed.temperature, parsed.top_p)
    form = parsed.text.format if parsed.text else None
    return Sampling(
        max_tokens=parsed.max_output_tokens or 0,
        temperature=temperature,
        top_p=top_p,
        logprobs=(parsed.top_logprobs or 0) if wants_logprobs else None,
        constraint=form.constraint if form else None,
    )


ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(TypedDict):
    """Text block of the model."""

    type: Literal["output_text"]
    text: Annotated[str, Field(examples=["beverage"])]
    annotations: Annotated[list[Any], Field(max_length=0)]
    logprobs: Annotated[list[ChosenLogprob], Field(examples=[[]])]


class OutputMessage(TypedDict):
    """Message of the model."""

    id: Annotated[str, Field(examples=["msg_0b8f_0"])]
    type: Literal["message"]
    status: Annotated[ItemStatus, Field(examples=["completed"])]
    role: Literal["assistant"]
    content: list[OutputText]


class OutputCall(TypedDict):
    """Function call that the model asks for. What a policy masks is masked in its arguments."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class InputDetails(TypedDict):
    """Details of input tokens; cached tokens are not reported."""

    cached_tokens: Literal[0]
    cache_write_tokens: Literal[0]


class OutputDetails(TypedDict):
    """Details of output tokens; models here do not reason."""

    reasoning_tokens: Literal[0]


class ResponseUsage(TypedDict):
    """Token usage as the engine counted it."""

    input_tokens: Annotated[int, Field(examples=[21])]
    input_tokens_details: InputDetails
    output_tokens: Annotated[int, Field(examples=[2])]
    output_tokens_details: OutputDetails
    total_tokens: Annotated[int, Field(examples=[23])]


class IncompleteDetails(TypedDict):
    """Reason why the response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ResponseFailure(TypedDict):
    """An error after the first byte."""

    code: Literal["server_error", "rate_limit_exceeded"]
    message: str


class ResponseVerdicts(TypedDict):
    """Moderation results of input and output."""

    input: InlineResult
    output: InlineResult


class Repeated(TypedDict):
    """What a response says of its request, or what cannot be chosen."""

    instructions: str | None
    max_output_tokens: Annotated[int | None, Field(examples=[16])]
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: Annotated[bool, Field(examples=[True])]
    prompt_cache_key: str | None
    safety_identifier: str | None
    temperature: Annotated[float, Field(examples=[1.0])]
    text: Annotated[
        dict[str, Any], Field(examples=[{"format": {"type": "text"}, "verbosity": "medium"}])
    ]
    tool_choice: Annotated[str | dict[str, Any], Field(examples=["auto"])]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: Annotated[float, Field(examples=[1.0])]
    user: str | None
    background: Literal[False]
    previous_response_id: None
    reasoning: Annotated[dict[str, None], Field(examples=[{"effort": None, "summary": None}])]
    service_tier: Literal["default"]
    store: Literal[False]
    truncation: Literal["disabled"]


class VerdictsField(TypedDict):
    """The field `moderation` of a response."""

    moderation: NotRequired[ResponseVerdicts]


class Response(Repeated, CascadeField, VerdictsField):
    """A response; nothing of it is kept. `x-model-version` says which version answered. The fields
    from `instructions` on repeat the request, or say what cannot be chosen."""

    id: Annotated[str, Field(examples=["resp_0b8f"])]
    object: Literal["response"]
    created_at: UnixSeconds
    status: Annotated[
        Literal["in_progress", "completed", "incomplete", "failed"], Field(examples=["completed"])
    ]
    model: ModelName
    output: list[OutputMessage | OutputCall]
    error: ResponseFailure | None
    incomplete_details: IncompleteDetails | None
    completed_at: UnixSeconds | None
    usage: ResponseUsage | None


class ResponseEvent(TypedDict, total=False):
    """Event of a streamed response, numbered by `sequence_number`.

    First come `response.created` and `response.in_progress`. A message has
    `response.output_item.added`, `response.content_part.added`, `response.output_text.delta`,
    `response.output_text.done`, `response.content_part.done`, `response.output_item.done`. A call
    has `response.output_item.added`, `response.function_call_arguments.delta` and `.done`,
    `response.output_item.done`. The last is `response.completed` or `response.incomplete`, or
    `error` and `response.failed`.
    """

    type: Required[str]
    sequence_number: Required[int]
    response: Response
    output_index: int
    content_index: int
    item_id: str
    item: OutputMessage | OutputCall
    part: OutputText
    delta: str
    text: str
    logprobs: list[ChosenLogprob]
    name: str
    arguments: str
    code: str
    message: str
    param: str | None


def text_part(text: str, logprobs: list[ChosenLogprob]) -> OutputText:
    """The only part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def response_usage(end: End) -> ResponseUsage | None:
    """What it cost; None when its engine was stopped before it told."""
    if end.usage is None:
        return None
    asked, said = end.usage.prompt_tokens, end.usage.completion_tokens
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + said,
    }


def verdicts_field(answers: FilteredAnswers | None) -> VerdictsField:
    """Verdicts as a response has them: one of each side."""
    sides = moderation_field(answers).get("moderation") if answers else None
    if sides is None:
        return {}
    inputs, outputs = sides["input"]["results"], sides["output"]["results"]
    return {"moderation": {"input": inputs[0], "output": outputs[0]}}


def repeated(body: ResponseBody) -> Repeated:
    """What a response says of its request."""
    form = body.text.format if body.text else None
    choice = body.tool_choice
    return {
        "background": False,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {
            "format": _as_sent(form) if form else {"type": "text"},
            "verbosity": "medium",
        },
        "tool_choice": _as_sent(choice) if isinstance(choice, OpenBody) else choice or "auto",
        "tools": [_tool(tool) for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": "disabled",
        "user": body.user,
    }


def _as_sent(said: OpenBody) -> dict[str, Any]:
    return said.model_dump(by_alias=True, exclude_none=True)


def _tool(tool: FunctionTool) -> dict[str, Any]:
    names = ("name", "description", "parameters", "strict")
    return {"type": "function"} | {name: getattr(tool, name) for name in names}
