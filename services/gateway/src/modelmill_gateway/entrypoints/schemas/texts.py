"""What answers of all routes for text consist of: usage, tokens and how they ended.

They are typed dicts and not pydantic models: streams are rendered by hand, once for each answer.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from modelmill_gateway.domain import chat
from modelmill_gateway.domain.chat import End

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


class Usage(TypedDict):
    """Token usage as the engine counted it."""

    prompt_tokens: Annotated[int, Field(examples=[21])]
    completion_tokens: Annotated[int, Field(examples=[2])]
    total_tokens: Annotated[int, Field(examples=[23])]


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
    prompt = completion = 0
    for end in ends:
        if end.usage is None:
            return None
        prompt += end.usage.prompt_tokens
        completion += end.usage.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


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
