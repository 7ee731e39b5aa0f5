"""What routes for text have in common: tools, fields that are not served, usage, tokens, ends.

Answers are typed dicts and not pydantic models: streams are rendered by hand, once for each answer.
"""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from modelmill_gateway.domain import chat
from modelmill_gateway.domain.chat import End, Tool
from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.entrypoints.schemas.parsing import (
    MOST_ERRORS,
    OpenBody,
    too_many_errors,
    unknown_field,
)

LEAST_LOGPROB = -9999.0
"""What OpenAI says of a token that could not come; JSON has no infinity."""
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
AnswerId = Annotated[str, Field(examples=["chatcmpl-0b8f"])]


class CascadePath(TypedDict):
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


class CascadeField(TypedDict):
    """The field `cascade`, where the model was one and told of its way."""

    cascade: NotRequired[CascadePath]


class EndFields(CascadeField):
    """How an answer ended."""

    finish_reason: FinishReason


class CompletionTokensDetails(TypedDict):
    """Tokens of the completion by how they came about."""

    accepted_prediction_tokens: Annotated[int, Field(examples=[12])]
    """Drafted by prompt lookup, and accepted by the model: they cost no step of their own."""


class Usage(TypedDict):
    """Token usage as the engine counted it."""

    prompt_tokens: Annotated[int, Field(examples=[21])]
    completion_tokens: Annotated[int, Field(examples=[2])]
    total_tokens: Annotated[int, Field(examples=[23])]
    completion_tokens_details: NotRequired[CompletionTokensDetails]
    """Left out where nothing was drafted."""


USAGE = {"prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 23}
"""An example."""


class TokenLogprob(TypedDict):
    """Token and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int]


class ChosenLogprob(TokenLogprob):
    """Token of the answer with the likeliest alternatives."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(TypedDict):
    """Tokens of an answer. Bytes that a policy masks are masked here, too; alternatives that it
    forbids, or that come behind the beginning of what it forbids, are left out."""

    content: list[ChosenLogprob]
    refusal: None


class CompletionLogprobs(TypedDict):
    """Log-probabilities as parallel lists."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


def answer_end(end: End | None) -> EndFields:
    """A choice's fields about its end."""
    reason = cast(FinishReason, end.finish_reason if end else None)
    return {"finish_reason": reason, **cascade_field(end)}


def cascade_field(end: End | None) -> CascadeField:
    """What is told of a cascade; one that was never calibrated believes nothing."""
    if end is None or end.cascade is None:
        return {}
    path: dict[str, Any] = asdict(end.cascade)
    if not math.isfinite(end.cascade.threshold):
        path["threshold"] = None
    return {"cascade": cast(CascadePath, path)}


def usage_of(ends: Iterable[End]) -> Usage | None:
    """What answers cost together; None when one of them was stopped before its engine told."""
    prompt = completion = accepted = 0
    for end in ends:
        if end.usage is None:
            return None
        prompt += end.usage.prompt_tokens
        completion += end.usage.completion_tokens
        accepted += end.usage.accepted_prediction_tokens
    usage: Usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if accepted:
        usage["completion_tokens_details"] = {"accepted_prediction_tokens": accepted}
    return usage


def chat_logprobs(tokens: Iterable[chat.TokenLogprob]) -> ChatLogprobs:
    """As chat shows them: for each token its text, its bytes, and what it stood before."""
    content: list[ChosenLogprob] = [
        {
            **_token(token.token, token.logprob),
            "top_logprobs": [_token(name, logprob) for name, logprob in token.alternatives],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


class ParallelLogprobs:
    """As completions show them: lists side by side, with the place of each token in the text."""

    def __init__(self) -> None:
        self._offset = 0

    def of(self, tokens: Iterable[chat.TokenLogprob]) -> CompletionLogprobs:
        """The tokens that come next."""
        shown = CompletionLogprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])
        for token in tokens:
            text = _text(token.token)
            shown["tokens"].append(text)
            shown["token_logprobs"].append(_bounded(token.logprob))
            alternatives = {_text(name): _bounded(logprob) for name, logprob in token.alternatives}
            shown["top_logprobs"].append(alternatives)
            shown["text_offset"].append(self._offset)
            self._offset += len(text)
        return shown


def _token(name: bytes, logprob: float) -> TokenLogprob:
    return {"token": _text(name), "logprob": _bounded(logprob), "bytes": list(name)}


def _text(token: bytes) -> str:
    """A token's text, with a replacement character where it is a part of a character only."""
    return token.decode("utf-8", "replace")


def _bounded(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)


MAX_TOOLS = 128
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class FunctionBody(OpenBody):
    """Function that the model may call."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of its arguments.")

    @property
    def tool(self) -> Tool:
        """As the domain has it."""
        schema = self.parameters
        text = "" if schema is None else json.dumps(schema, ensure_ascii=False)
        return Tool(self.name, self.description or "", text)


class ToolBody(OpenBody):
    """A tool; functions are the only ones."""

    type: Literal["function"]
    function: FunctionBody

    @property
    def tool(self) -> Tool:
        """As the domain has it."""
        return self.function.tool


class CalledFunctionBody(OpenBody):
    """Called function and its arguments."""

    name: FunctionName
    arguments: str = Field(description="Arguments: a JSON object as text.")


class ToolCallBody(OpenBody):
    """Tool call that the assistant made."""

    id: str = Field(min_length=1, max_length=256)
    type: Literal["function"]
    function: CalledFunctionBody

    @property
    def call(self) -> chat.ToolCall:
        """As the domain has it."""
        return chat.ToolCall(self.id, self.function.name, self.function.arguments)


class NamedFunction(OpenBody):
    """A function by its name."""

    name: FunctionName


class ChosenTool(OpenBody):
    """Tool choice: the function that must be called."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | ChosenTool


def chosen_name(choice: ToolChoice | None, tools: tuple[Tool, ...]) -> str:
    """The choice in one word; see `checked_choice`."""
    if isinstance(choice, ChosenTool):
        return checked_choice("", choice.function.name, tools)
    return checked_choice(choice or "auto", "", tools)


def checked_choice(word: str, name: str, tools: tuple[Tool, ...]) -> str:
    """The choice in one word: auto, none, required, or the name of the tool that must be called.

    Raises:
        BadRequestError: no tool can be called as it is demanded.
    """
    if name and name not in {tool.name for tool in tools}:
        raise BadRequestError(f"tool_choice: no tool is named {name}", param="tool_choice")
    if word == "required" and not tools:
        raise BadRequestError("tool_choice: there are no tools", param="tool_choice")
    return name or word


def may_call_several(choice: object, tools: Sequence[object] | None) -> bool:
    """Whether an answer may have several calls: one that must be a call is one call."""
    return bool(tools) and choice in (None, "auto")


class CalledFunction(TypedDict):
    """A function and its arguments, a JSON object as text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """Function call that the model asks for. What a policy masks is masked in its arguments."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class ToolCallDelta(ToolCall):
    """Tool call at an index; it comes whole."""

    index: int


def tool_call(call: chat.ToolCall) -> ToolCall:
    """A call as OpenAI shows it."""
    function: CalledFunction = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


NEUTRAL: dict[str, tuple[Any, ...]] = {
    "parallel_tool_calls": (None, True),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "logit_bias": (None, {}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "web_search_options": (None,),
    "reasoning_effort": (None, "none"),
    "verbosity": (None, "medium"),
    "store": (None, False),
}
"""Fields of OpenAI's that would change the answer and are not served, with the values that would
not. Anything else is refused by name."""
IGNORED = frozenset(
    (
        *("safety_identifier", "prompt_cache_key", "prompt_cache_options"),
        *("prompt_cache_retention", "metadata", "prediction", "service_tier"),
        "parallel_tool_calls",
    )
)
"""Fields of OpenAI's that would change no answer here; of calls, where one at most may come."""


def refuse_unserved(parsed: OpenBody, neutral: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise BadRequestError for what would change the answer and is not served, and for what is no
    field; names all."""
    extra = parsed.model_extra or {}
    wrong = [name for name, values in neutral.items() if extra.get(name) not in values]
    if wrong:
        raise unsupported(*wrong)
    refuse_unknown(parsed, neutral.keys() | IGNORED)


def refuse_unknown(parsed: OpenBody, decided: Collection[str]) -> None:
    """Raise BadRequestError for fields that are neither served nor decided; names all.

    One that is misspelt would change nothing, and nobody would know.
    """
    extra = parsed.model_extra or {}
    unknown = [name for name, value in extra.items() if value is not None and name not in decided]
    if unknown:
        known = type(parsed).model_fields
        if len(unknown) > MOST_ERRORS:
            errors = [too_many_errors(len(unknown))]
        else:
            errors = [unknown_field(name[:80], known) for name in unknown]
        raise BadRequestError(errors, param=unknown[0][:80], code="unknown_parameter")
