"""Anthropic's Messages API: what is asked and answered, in the words of its clients."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, Required

from pydantic import Discriminator, Field
from typing_extensions import TypedDict

from modelmill_gateway.domain.chat import ChatCall, Constraint, Sampling, Tool, Turn
from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.entrypoints.schemas.base import ModelName
from modelmill_gateway.entrypoints.schemas.chat import (
    MAX_NEW_TOKENS,
    QUESTION,
    StopText,
    greedy_if_certain,
)
from modelmill_gateway.entrypoints.schemas.message_blocks import (
    AnyTurn,
    Neutral,
    Part,
    Texts,
    joined,
    turns_of,
    unserved_among,
)
from modelmill_gateway.entrypoints.schemas.parsing import MOST_ERRORS, Many, OpenBody, parse_open
from modelmill_gateway.entrypoints.schemas.texts import (
    MAX_TOOLS,
    CascadeField,
    FunctionName,
    checked_choice,
    refuse_unknown,
)

MAX_STOPS = 16
IGNORED = frozenset(
    (
        *("cache_control", "service_tier", "user_profile_id", "workspace_id", "betas"),
        *("billing_policy", "fallback_credit_token"),
    )
)
"""Fields of a body that would change no answer here."""
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""Anthropic's words for how tools are chosen, and ours."""


class ClientTool(Part):
    """Tool that the client runs; Anthropic's built-in tools are not supported."""

    NEUTRAL: ClassVar[Neutral] = {
        "defer_loading": (None, False),
        "input_examples": (None, []),
        "allowed_callers": (None, ["direct"]),
    }

    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: dict[str, Any] = Field(description="JSON schema of its arguments.")
    strict: bool | None = Field(
        None, description="Strict schema; supported where a call must be made."
    )

    @property
    def tool(self) -> Tool:
        """As the domain has it."""
        schema = json.dumps(self.input_schema, ensure_ascii=False)
        return Tool(self.name, self.description or "", schema)


class FreeChoice(OpenBody):
    """Tool choice: whether some tool may or must be called."""

    type: Literal["auto", "any", "none"]
    disable_parallel_tool_use: bool | None = None


class OneTool(OpenBody):
    """Tool choice: the tool that must be called."""

    type: Literal["tool"]
    name: FunctionName
    disable_parallel_tool_use: bool | None = None


class Thinking(OpenBody):
    """Thinking options; not supported."""

    type: Literal["disabled"]


class OutputFormat(OpenBody):
    """Output format."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(Part):
    """Output options; effort is not supported."""

    NEUTRAL: ClassVar[Neutral] = {"task_budget": (None,)}

    format: OutputFormat | None = None
    effort: None = None


class MessageMetadata(OpenBody):
    """Metadata of a request: its end user."""

    user_id: str | None = Field(None, max_length=512)


class CountedBody(Part):
    """Request body of POST /v1/messages/count_tokens."""

    NEUTRAL: ClassVar[Neutral] = {
        "compaction": (None,),
        "container": (None,),
        "context_management": (None,),
        "diagnostics": (None,),
        "fallbacks": (None, []),
        "inference_geo": (None,),
        "mcp_servers": (None, []),
        "output_format": (None,),
        "speed": (None, "standard"),
        "thread": (None,),
    }

    model: ModelName = Field(min_length=1, max_length=256, description="Alias, version id or name.")
    messages: Many[AnyTurn] = Field(min_length=1, examples=[[QUESTION]])
    system: Texts = Field(default_factory=list, examples=["Name the kind."])
    tools: list[ClientTool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: Annotated[FreeChoice | OneTool, Discriminator("type")] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    def unserved(self, at: str = "") -> Iterator[str]:
        """Its own, and those of all that it consists of."""
        yield from super().unserved(at)
        yield from unserved_among(self.messages, "messages")
        yield from unserved_among(self.system, "system")
        yield from unserved_among(self.tools or (), "tools")
        if self.output_config is not None:
            yield from self.output_config.unserved("output_config.")
        if self.tools and _is_free(self.tool_choice):
            if self.tool_choice is not None and self.tool_choice.disable_parallel_tool_use:
                yield "tool_choice.disable_parallel_tool_use"
            for index, tool in enumerate(self.tools):
                if tool.strict:
                    yield f"tools.{index}.strict"


class MessagesBody(CountedBody):
    """Request body of POST /v1/messages."""

    max_tokens: int = Field(
        ge=1, le=MAX_NEW_TOKENS, description="Most tokens of the answer.", examples=[16]
    )
    stream: bool | None = Field(
        None, description="Send server-sent events while the answer is written."
    )
    metadata: MessageMetadata | None = None
    temperature: float | None = Field(
        None, ge=0, le=1, description="Sampling temperature; 0 is greedy. Default: 1."
    )
    top_p: float | None = Field(
        None, ge=0, le=1, description="Share of likeliest tokens to sample from. Default: 1."
    )
    top_k: int | None = Field(
        None, ge=0, lt=2**31, description="Number of likeliest tokens to sample from. Default: all."
    )
    stop_sequences: list[StopText] | None = Field(
        None, max_length=MAX_STOPS, description="Texts at which the answer ends."
    )


@dataclass(frozen=True)
class MessagesRequest:
    """A parsed request: what is asked, and how the answer is sent."""

    call: ChatCall
    stream: bool


def parse_messages(body: bytes) -> MessagesRequest:
    """The request in a body of /v1/messages.

    Raises:
        BadRequestError: not JSON, not of this shape, or it asks for what is not served; `param` is
            the first field at fault.
    """
    parsed = parse_open(body, MessagesBody)
    user = parsed.metadata.user_id if parsed.metadata else None
    call = replace(_call(parsed, _sampling(parsed)), user=user or "")
    return MessagesRequest(call, bool(parsed.stream))


def parse_counted(body: bytes) -> ChatCall:
    """The prompt in a body of /v1/messages/count_tokens.

    Raises:
        BadRequestError: as of `parse_messages`.
    """
    return _call(parse_open(body, CountedBody), Sampling())


def _call(parsed: CountedBody, sampling: Sampling) -> ChatCall:
    if wrong := list(islice(parsed.unserved(), MOST_ERRORS)):
        raise unsupported(*wrong)
    refuse_unknown(parsed, parsed.NEUTRAL.keys() | IGNORED | MessagesBody.model_fields.keys())
    turns = tuple(turns_of(parsed.messages))
    if turns[-1].role == "assistant":
        raise BadRequestError(
            "messages: an answer that the assistant began is not continued. End with the user's",
            param="messages",
        )
    system = (Turn("system", joined(parsed.system)),) if parsed.system else ()
    tools = tuple(each.tool for each in parsed.tools or ())
    return ChatCall(
        parsed.model,
        (*system, *turns),
        sampling,
        tools=tools,
        tool_choice=_chosen(parsed.tool_choice, tools),
    )


def _is_free(choice: FreeChoice | OneTool | None) -> bool:
    """Whether the model may call as often as it wants: only a call that it must make is one call,
    and held to its schema."""
    return choice is None or choice.type == "auto"


def _chosen(choice: FreeChoice | OneTool | None, tools: tuple[Tool, ...]) -> str:
    if isinstance(choice, OneTool):
        return checked_choice("", choice.name, tools)
    return checked_choice(CHOICES[choice.type] if choice is not None else "auto", "", tools)


def _sampling(parsed: MessagesBody) -> Sampling:
    temperature, top_p = greedy_if_certain(parsed.temperature, parsed.top_p)
    form = parsed.output_config.format if parsed.output_config else None
    schema = json.dumps(form.json_schema, ensure_ascii=False) if form else ""
    return Sampling(
        max_tokens=parsed.max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=parsed.top_k or 0,
        stop=tuple(parsed.stop_sequences or ()),
        constraint=Constraint("json_schema", schema) if form else None,
    )


StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class MessageText(TypedDict):
    """Text block of the model."""

    type: Literal["text"]
    text: Annotated[str, Field(examples=["beverage"])]


class MessageToolUse(TypedDict):
    """Tool use that the model asks for. What a policy masks is masked in its input."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class StopDetails(TypedDict):
    """Stop details: the rules that ended the answer, and their categories."""

    type: Literal["refusal"]
    category: None
    explanation: str


class MessageUsage(TypedDict):
    """Token usage as the engine counted it; of a stopped answer, as far as it had counted."""

    input_tokens: Annotated[int, Field(examples=[21])]
    output_tokens: Annotated[int, Field(examples=[2])]
    cache_creation_input_tokens: Literal[0]
    cache_read_input_tokens: Literal[0]


class WholeMessageUsage(MessageUsage):
    """Token usage, with the only service tier."""

    service_tier: Literal["standard"]


class MessageHead(TypedDict):
    """What is known of a message when it begins."""

    id: Annotated[str, Field(examples=["msg_0b8f"])]
    type: Literal["message"]
    role: Literal["assistant"]
    model: ModelName


class MessageStop(TypedDict):
    """Why a message ended."""

    stop_reason: StopReason | None
    stop_sequence: str | None
    stop_details: StopDetails | None


class Message(MessageHead, MessageStop, CascadeField):
    """Message; `x-model-version` names the version that answered."""

    content: list[MessageText | MessageToolUse]
    usage: WholeMessageUsage


class MessageEvent(CascadeField, total=False):
    """One event of a streamed answer. In order: `message_start` with an empty `message`, `ping`, of
    each block `content_block_start`, `content_block_delta` and `content_block_stop`,
    `message_delta` with the end and the cost, `message_stop`; an `error` ends it early."""

    type: Required[
        Literal[
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
            "error",
        ]
    ]
    message: Message
    index: int
    content_block: MessageText | MessageToolUse
    delta: dict[str, Any]
    usage: MessageUsage
    error: dict[str, Any]
    request_id: str


class CountedTokens(TypedDict):
    """Token count of a prompt, the chat template included."""

    input_tokens: Annotated[int, Field(examples=[21])]
