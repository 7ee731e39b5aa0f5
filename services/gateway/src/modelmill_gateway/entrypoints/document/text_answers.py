"""Shapes of generated texts."""

from typing import Literal

from pydantic import Field

from modelmill_gateway.entrypoints.document.moderation_answers import InlineModeration
from modelmill_gateway.entrypoints.document.shape import Answer

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Health(Answer):
    """The process runs."""

    status: Literal["ok"]


class CascadePath(Answer):
    """How an alias of kind cascade answered: `version_id` is its small model, or when `escalated`
    the large one, because the small one's `confidence` stayed below the `threshold` (null: none is
    enough). `spared_tokens` the large model did not have to compute; `extra_tokens` the small one
    computed in vain, and usage does not count them."""

    version_id: str
    escalated: bool
    confidence: float
    threshold: float | None
    spared_tokens: int
    extra_tokens: int


class GeneratedText(Answer):
    """An answer's text."""

    text: str
    cascade: CascadePath | None = None
    moderation: InlineModeration | None = None


class Usage(Answer):
    """Tokens as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CalledFunction(Answer):
    """A function and its arguments, a JSON object as text."""

    name: str
    arguments: str


class ToolCall(Answer):
    """The model asks for a function to be run. What a policy masks is masked in its arguments."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class ToolCallDelta(ToolCall):
    """The call of that index; it comes whole."""

    index: int


class AssistantMessage(Answer):
    """The turn that was generated; without content when it is nothing but calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCall] = Field(default_factory=list)


class TokenLogprob(Answer):
    """A token and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int]


class ChosenLogprob(TokenLogprob):
    """A token of the answer, and those that were likeliest in its place."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(Answer):
    """Tokens of an answer. Bytes that a policy masks are masked here, too; alternatives that it
    forbids, or that come behind the beginning of what it forbids, are left out."""

    content: list[ChosenLogprob]
    refusal: None


class CompletionLogprobs(Answer):
    """The same as lists side by side, as completions have it."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class ChatChoice(Answer):
    """One of the `n` answers."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason
    cascade: CascadePath | None = None


class ChatCompletion(Answer):
    """A whole answer. `system_fingerprint` is the version that answered."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage | None
    moderation: InlineModeration | None = None


class ChatDelta(Answer):
    """What a chunk adds."""

    role: Literal["assistant"] = "assistant"
    content: str = ""
    tool_calls: list[ToolCallDelta] = Field(default_factory=list)


class ChatChunkChoice(Answer):
    """What is new of one of the `n` answers."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None
    cascade: CascadePath | None = None


class ChatCompletionChunk(Answer):
    """One event of a streamed answer; the event after the last one is `[DONE]`. The one with usage
    has no choices, nor has that with `moderation` when it was asked for; it comes before the last
    answer's end."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
    moderation: InlineModeration | None = None


class CompletionChoice(Answer):
    """An answer; those to one prompt follow each other. A reason is there once it has ended."""

    text: str
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    cascade: CascadePath | None = None


class Completion(Answer):
    """Continued texts, or one event of them while they are streamed."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    moderation: InlineModeration | None = None


class Embedding(Answer):
    """The vector of a text, of length 1; base64 is of little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answer):
    """Tokens of all texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Answer):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
