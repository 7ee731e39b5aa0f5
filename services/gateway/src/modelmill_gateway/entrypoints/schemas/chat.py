"""Chat completions, and ours of one prompt: what is asked, whole answers and chunks."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from typing_extensions import TypedDict

from modelmill_gateway.domain.chat import (
    MAX_ALTERNATIVES,
    MAX_ANSWERS,
    MAX_PENALTY,
    ChatCall,
    Sampling,
    Turn,
)
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.schemas.base import ModelName, UnixSeconds, VersionId
from modelmill_gateway.entrypoints.schemas.constraints import ConstrainedBody
from modelmill_gateway.entrypoints.schemas.moderations import InlineModerationBody, ModerationField
from modelmill_gateway.entrypoints.schemas.parsing import (
    TEXT_PART,
    Many,
    OpenBody,
    StrictBody,
    as_list,
    or_text,
    parse_body,
    parse_open,
)
from modelmill_gateway.entrypoints.schemas.texts import (
    MAX_TOOLS,
    NEUTRAL,
    USAGE,
    AnswerId,
    CascadeField,
    ChatLogprobs,
    EndFields,
    FinishReason,
    ToolBody,
    ToolCall,
    ToolCallBody,
    ToolCallDelta,
    ToolChoice,
    Usage,
    chosen_name,
    may_call_several,
    refuse_unserved,
)

MAX_NEW_TOKENS = 2**31 - 1
MAX_STOPS = 4
MAX_STOP_CHARS = 256
LEAST_TEMPERATURE = 0.001
LEAST_TOP_P = 1e-6
"""Below these the likeliest token is as good as certain, and the engine refuses to sample."""


def _plain_text(content: Any) -> Any:
    """Text of a message's content: a string, or a list of parts of type text."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise ValueError("only parts of type text are supported")
        if not isinstance(part.get("text"), str):
            raise ValueError("a part of type text needs a text")
        texts.append(part["text"])
    return "\n".join(texts)


def _text_or_parts(schema: dict[str, Any]) -> None:
    """Says in the API document that content may come in parts."""
    schema["anyOf"] = [*schema["anyOf"], {"type": "array", "items": TEXT_PART}]


QUESTION = {"role": "user", "content": "espresso: strong black coffee"}
"""An example."""
StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]


class MessageBody(OpenBody):
    """Message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: Many[ToolCallBody] | None = None
    tool_call_id: str | None = Field(
        None, description="In a tool message: id of the call that it answers."
    )
    content: Annotated[str | None, BeforeValidator(_plain_text)] = Field(
        None, validate_default=True, json_schema_extra=_text_or_parts
    )
    function_call: None = None

    @field_validator("content")
    @classmethod
    def _only_calls_speak_for_themselves(
        cls, content: str | None, info: ValidationInfo
    ) -> str | None:
        if content is None and not info.data.get("tool_calls"):
            raise ValueError("field required")
        return content

    @property
    def turn(self) -> Turn:
        """As the domain has it."""
        role = "system" if self.role == "developer" else self.role
        calls = tuple(each.call for each in self.tool_calls or ())
        return Turn(role, self.content or "", calls, self.tool_call_id or "")


class StreamOptions(OpenBody):
    """Stream options."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = Field(
        None, description="Padding of streams; not supported."
    )


class TextBody(ConstrainedBody):
    """What chat and completions have in common."""

    model: ModelName = Field(min_length=1, max_length=256, description="Alias, version id or name.")
    stream: bool | None = Field(
        None, description="Send server-sent events while the answer is written."
    )
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(
        None,
        ge=1,
        le=MAX_NEW_TOKENS,
        description="Most tokens of an answer. Default: what the model's context leaves.",
        examples=[16],
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="Sampling temperature; 0 is greedy. Default: 1."
    )
    top_p: float | None = Field(
        None, ge=0, le=1, description="Share of likeliest tokens to sample from. Default: 1."
    )
    stop: Annotated[list[StopText] | None, BeforeValidator(as_list)] = Field(
        None,
        max_length=MAX_STOPS,
        json_schema_extra=partial(or_text, minLength=1),
        description="A text, or several, at which an answer ends; none is part of it.",
    )
    seed: int | None = Field(
        None, ge=-(2**63), lt=2**63, description="Sampling seed. Default: a random one."
    )
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS, description="Number of answers. Default: 1.")
    presence_penalty: float | None = Field(
        None,
        ge=-MAX_PENALTY,
        le=MAX_PENALTY,
        description="Penalty on tokens that the answer has. Default: 0.",
    )
    frequency_penalty: float | None = Field(
        None,
        ge=-MAX_PENALTY,
        le=MAX_PENALTY,
        description="Penalty on tokens, times how often the answer has each. Default: 0.",
    )
    repetition_penalty: float | None = Field(
        None,
        ge=0.01,
        le=100,
        description="Repetition penalty on tokens of prompt and answer; 1 turns it off.",
    )
    top_k: int | None = Field(
        None,
        ge=-1,
        lt=2**31,
        description="Number of likeliest tokens to sample from; 0 and -1 mean all.",
    )
    user: str | None = Field(
        None, max_length=512, description="End user; also the sticky key for variants of an alias."
    )

    @property
    def include_usage(self) -> bool:
        """Whether a stream shall end with what it cost."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class ChatBody(TextBody):
    """Request body of POST /v1/chat/completions."""

    messages: Many[MessageBody] = Field(
        min_length=1, description="The conversation, oldest message first.", examples=[[QUESTION]]
    )
    max_completion_tokens: int | None = Field(
        None, ge=1, le=MAX_NEW_TOKENS, description="As `max_tokens`, which it takes the place of."
    )
    tools: list[ToolBody] | None = Field(
        None, max_length=MAX_TOOLS, description="Functions that the model may call."
    )
    tool_choice: ToolChoice | None = Field(
        None, description="Whether a function may or must be called, or which. Default: `auto`."
    )
    logprobs: bool | None = Field(
        None, description="Return the log-probability of each token of the answer."
    )
    top_logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_ALTERNATIVES,
        description="Number of alternatives for each token; needs logprobs.",
    )
    moderation: InlineModerationBody | None = None

    @property
    def alternatives(self) -> int | None:
        """How many alternatives of each token are to be named, if any."""
        return (self.top_logprobs or 0) if self.logprobs else None


class GenerateBody(StrictBody):
    """Request body of POST /generate."""

    prompt: str = Field(min_length=1, examples=[QUESTION["content"]])
    max_length: int = Field(
        50, ge=1, le=MAX_NEW_TOKENS, description="Maximum number of new tokens.", examples=[16]
    )
    model: str | None = Field(
        None, min_length=1, max_length=256, description="Model; the default model if absent."
    )
    temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature; 0 is greedy.")


@dataclass(frozen=True)
class ChatRequest:
    """A parsed chat request: what is asked, and how the answer is sent."""

    call: ChatCall
    stream: bool
    include_usage: bool


def parse_chat(body: bytes) -> ChatRequest:
    """The request in a body of /v1/chat/completions.

    Raises:
        BadRequestError: not JSON, not of this shape, or it asks for what is not served; `param` is
            the first field at fault.
    """
    parsed = parse_open(body, ChatBody)
    # One call at most is what comes where a call must be made: it need not be asked for.
    decided = "" if may_call_several(parsed.tool_choice, parsed.tools) else "parallel_tool_calls"
    refuse_unserved(parsed, {name: it for name, it in NEUTRAL.items() if name != decided})
    refuse_stream_options(parsed)
    tools = tuple(each.tool for each in parsed.tools or ())
    if tools and parsed.logprobs:
        # Its tokens would say what a call says in escapes that no guard reads.
        raise BadRequestError("logprobs: not together with tools", param="logprobs")
    if parsed.top_logprobs and not parsed.logprobs:
        raise BadRequestError("top_logprobs: only with logprobs", param="top_logprobs")
    max_tokens = parsed.max_completion_tokens or parsed.max_tokens or 0
    sampling = sampling_of(parsed, max_tokens, parsed.alternatives)
    call = ChatCall(
        parsed.model,
        tuple(message.turn for message in parsed.messages),
        sampling,
        answers=parsed.n or 1,
        tools=tools,
        tool_choice=chosen_name(parsed.tool_choice, tools),
        moderation=parsed.moderation.requested if parsed.moderation else None,
        user=parsed.user or "",
    )
    return ChatRequest(call, bool(parsed.stream), parsed.include_usage)


def parse_generate(body: bytes, default_model: str) -> ChatCall:
    """The request in a body of /generate: one user turn.

    Raises:
        BadRequestError: not JSON.
        InvalidInputError: JSON of another shape; lists every error.
    """
    parsed = parse_body(body, GenerateBody)
    temperature = 0.0 if parsed.temperature < LEAST_TEMPERATURE else parsed.temperature
    sampling = Sampling(max_tokens=parsed.max_length, temperature=temperature)
    turn = Turn("user", parsed.prompt)
    return ChatCall(parsed.model or default_model, (turn,), sampling, field="prompt")


def refuse_stream_options(parsed: TextBody) -> None:
    """Raise BadRequestError where they are given and nothing is streamed."""
    if parsed.stream_options is not None and not parsed.stream:
        raise BadRequestError("stream_options: only with stream", param="stream_options")


def sampling_of(parsed: TextBody, max_tokens: int, logprobs: int | None) -> Sampling:
    """How to sample; what the engine would refuse as too small to matter becomes greedy."""
    penalty = parsed.repetition_penalty
    temperature, top_p = greedy_if_certain(parsed.temperature, parsed.top_p)
    return Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=max(parsed.top_k or 0, 0),
        presence_penalty=parsed.presence_penalty or 0.0,
        frequency_penalty=parsed.frequency_penalty or 0.0,
        repetition_penalty=1.0 if penalty is None else penalty,
        stop=tuple(parsed.stop or ()),
        seed=parsed.seed,
        logprobs=logprobs,
        constraint=parsed.constraint,
    )


def greedy_if_certain(temperature: float | None, top_p: float | None) -> tuple[float, float]:
    """Temperature and nucleus, 1 where nothing is said; greedy where they leave no other choice."""
    temperature = 1.0 if temperature is None else temperature
    top_p = 1.0 if top_p is None else top_p
    if temperature < LEAST_TEMPERATURE or top_p < LEAST_TOP_P:
        return 0.0, 1.0
    return temperature, top_p


class GeneratedText(CascadeField, ModerationField):
    """Generated text."""

    text: Annotated[str, Field(examples=["beverage"])]


class AssistantMessage(TypedDict):
    """Generated message; without content when it has only tool calls."""

    role: Literal["assistant"]
    content: Annotated[str | None, Field(examples=["beverage"])]
    refusal: None
    tool_calls: NotRequired[list[ToolCall]]


class ChatChoice(EndFields):
    """Choice: one of the `n` answers."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None


class ChatCompletion(ModerationField):
    """Chat completion. `system_fingerprint` is the version that answered."""

    id: AnswerId
    object: Literal["chat.completion"]
    created: UnixSeconds
    model: ModelName
    system_fingerprint: VersionId
    choices: list[ChatChoice]
    usage: Annotated[Usage | None, Field(examples=[USAGE])]


class ChatDelta(TypedDict, total=False):
    """Delta that a chunk adds."""

    role: Literal["assistant"]
    content: str
    tool_calls: list[ToolCallDelta]


class ChatChunkChoice(CascadeField):
    """Chunk of one of the `n` answers."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(ModerationField):
    """One event of a streamed answer; the event after the last one is `[DONE]`. The one with usage
    has no choices, nor has that with `moderation` when it was asked for; it comes before the last
    answer's end."""

    id: AnswerId
    object: Literal["chat.completion.chunk"]
    created: UnixSeconds
    model: ModelName
    system_fingerprint: VersionId
    choices: list[ChatChunkChoice]
    usage: NotRequired[Usage | None]
