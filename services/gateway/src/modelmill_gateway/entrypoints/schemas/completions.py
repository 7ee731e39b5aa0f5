"""Completions, OpenAI's older route: text that is continued as it is."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field

from modelmill_gateway.domain.chat import MAX_ALTERNATIVES, MAX_ANSWERS, ChatCall, Turn
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.schemas.base import ModelName, UnixSeconds, VersionId
from modelmill_gateway.entrypoints.schemas.chat import TextBody, refuse_stream_options, sampling_of
from modelmill_gateway.entrypoints.schemas.moderations import ModerationField
from modelmill_gateway.entrypoints.schemas.parsing import OneOrMany, parse_open
from modelmill_gateway.entrypoints.schemas.texts import (
    NEUTRAL,
    CascadeField,
    CompletionLogprobs,
    FinishReason,
    Usage,
    refuse_unserved,
)

DEFAULT_NEW_TOKENS = 16
"""OpenAI's default on this route."""
MAX_PROMPTS = MAX_ANSWERS
"""Each of their answers takes a place in the engine."""

UNSERVED: dict[str, tuple[Any, ...]] = {
    "logit_bias": NEUTRAL["logit_bias"],
    "best_of": (None, 1),
    "suffix": (None, ""),
}
"""As `NEUTRAL` for chat."""


class CompletionBody(TextBody):
    """Request body of POST /v1/completions."""

    prompt: OneOrMany = Field(
        min_length=1, max_length=MAX_PROMPTS, examples=[["espresso is a", "oak is a"]]
    )
    echo: bool | None = Field(None, description="Whether each answer begins with its prompt.")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_ALTERNATIVES,
        description="Number of alternatives for each token; not with echo.",
    )


@dataclass(frozen=True)
class CompletionRequest:
    """A parsed request: one call for each prompt, and how the answers are sent."""

    calls: tuple[ChatCall, ...]
    model: str
    stream: bool
    include_usage: bool


def parse_completion(body: bytes) -> CompletionRequest:
    """The request in a body of /v1/completions.

    Raises:
        BadRequestError: not JSON, not of this shape, or it asks for what is not served; `param` is
            the first field at fault.
    """
    parsed = parse_open(body, CompletionBody)
    refuse_unserved(parsed, UNSERVED)
    refuse_stream_options(parsed)
    answers = parsed.n or 1
    if answers * len(parsed.prompt) > MAX_PROMPTS:
        raise BadRequestError(f"n: at most {MAX_PROMPTS} answers to all prompts", param="n")
    if parsed.echo and parsed.logprobs is not None:
        raise BadRequestError("logprobs: not together with echo", param="logprobs")
    sampling = sampling_of(parsed, parsed.max_tokens or DEFAULT_NEW_TOKENS, parsed.logprobs)
    calls = tuple(
        ChatCall(
            parsed.model,
            (Turn("user", prompt),),
            sampling,
            raw=True,
            echo=bool(parsed.echo),
            field="prompt",
            answers=answers,
            user=parsed.user or "",
        )
        for prompt in parsed.prompt
    )
    return CompletionRequest(calls, parsed.model, bool(parsed.stream), parsed.include_usage)


class CompletionChoice(CascadeField):
    """An answer; those to one prompt follow each other. A reason is there once it has ended."""

    text: Annotated[str, Field(examples=[" strong coffee"])]
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None


class Completion(ModerationField):
    """Text completion, or one event of a streamed one."""

    id: Annotated[str, Field(examples=["cmpl-0b8f"])]
    object: Literal["text_completion"]
    created: UnixSeconds
    model: ModelName
    system_fingerprint: VersionId
    choices: list[CompletionChoice]
    usage: NotRequired[Usage | None]
