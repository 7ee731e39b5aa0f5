"""Shapes of generated texts."""

from typing import Literal

from pydantic import Field

from modelmill_gateway.entrypoints.document.moderation_answers import InlineModeration
from modelmill_gateway.entrypoints.document.shape import Answer

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Health(Answer):
    """Health of the process."""

    status: Literal["ok"]


class CascadePath(Answer):
    """Path of an answer through a cascade: `version_id` is the small model, or when `escalated` the
    large one. It escalates when the small model's `confidence` stays below the `threshold` (null:
    none is enough). `spared_tokens` the large model did not have to compute. `extra_tokens` the
    small one computed in vain; usage does not count them."""

    version_id: str
    escalated: bool
    confidence: float
    threshold: float | None
    spared_tokens: int
    extra_tokens: int


class GeneratedText(Answer):
    """Generated text."""

    text: str
    cascade: CascadePath | None = None
    moderation: InlineModeration | None = None


class Usage(Answer):
    """Token usage as the engine counted it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CalledFunction(Answer):
    """A function and its arguments, a JSON object as text."""

    name: str
    arguments: str


class ToolCall(Answer):
    """Function call that the model asks for. What a policy masks is masked in its arguments."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class ToolCallDelta(ToolCall):
    """Tool call at an index; it comes whole."""

    index: int


class AssistantMessage(Answer):
    """Generated message; without content when it has only tool calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCall] = Field(default_factory=list)


class TokenLogprob(Answer):
    """Token and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int]


class ChosenLogprob(TokenLogprob):
    """Token of the answer with the likeliest alternatives."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(Answer):
    """Tokens of an answer. Bytes that a policy masks are masked here, too; alternatives that it
    forbids, or that come behind the beginning of what it forbids, are left out."""

    content: list[ChosenLogprob]
    refusal: None


class CompletionLogprobs(Answer):
    """Log-probabilities as parallel lists."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class ChatChoice(Answer):
    """Choice: one of the `n` answers."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason
    cascade: CascadePath | None = None


class ChatCompletion(Answer):
    """Chat completion. `system_fingerprint` is the version that answered."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage | None
    moderation: InlineModeration | None = None


class ChatDelta(Answer):
    """Delta that a chunk adds."""

    role: Literal["assistant"] = "assistant"
    content: str = ""
    tool_calls: list[ToolCallDelta] = Field(default_factory=list)


class ChatChunkChoice(Answer):
    """Chunk of one of the `n` answers."""

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
    """Text completion, or one event of a streamed one."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    moderation: InlineModeration | None = None


class Embedding(Answer):
    """Embedding of a text, normalised to length 1; base64 holds little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answer):
    """Token usage of all texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Answer):
    """Embeddings in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
