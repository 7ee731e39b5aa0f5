"""Bodies of OpenAI's Responses API, as far as a server can answer them that keeps nothing."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modelmill_gateway.domain.chat import (
    MAX_ALTERNATIVES,
    ChatCall,
    Constraint,
    Sampling,
    Tool,
    Turn,
)
from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.entrypoints.bodies.chat_body import (
    MAX_NEW_TOKENS,
    greedy_if_certain,
    parse_open,
)
from modelmill_gateway.entrypoints.bodies.constraint_body import ANY_OBJECT, Schema
from modelmill_gateway.entrypoints.bodies.decided_fields import refuse_unknown
from modelmill_gateway.entrypoints.bodies.inline_moderation_body import InlineModerationBody
from modelmill_gateway.entrypoints.bodies.response_items import Input, turns_of
from modelmill_gateway.entrypoints.bodies.tool_body import MAX_TOOLS, FunctionName, may_call_several
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody

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


class FunctionTool(OpenBody):
    """A function that the model may call; OpenAI's built-in tools are not served."""

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of its arguments.")
    strict: bool | None = None

    @property
    def tool(self) -> Tool:
        """As the domain has it."""
        schema = self.parameters
        text = "" if schema is None else json.dumps(schema, ensure_ascii=False)
        return Tool(self.name, self.description or "", text)


class OneFunction(OpenBody):
    """Tool choice: the function that must be called."""

    type: Literal["function"]
    name: FunctionName


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

    model: str = Field(min_length=1, max_length=256, description="Alias, version id or name.")
    input: Input
    instructions: str | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS)
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
        if choice.name not in {tool.name for tool in tools}:
            message = f"tool_choice: no tool is named {choice.name}"
            raise BadRequestError(message, param="tool_choice")
        return choice.name
    if choice == "required" and not tools:
        raise BadRequestError("tool_choice: there are no tools", param="tool_choice")
    return choice or "auto"


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
