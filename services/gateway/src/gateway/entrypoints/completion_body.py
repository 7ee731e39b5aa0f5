"""The body of OpenAI's older route: text that is continued as it is."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gateway.domain.chat import ChatCall, Turn
from gateway.entrypoints.chat_body import (
    NEUTRAL,
    TextBody,
    parse_open,
    refuse_unserved,
    sampling_of,
)

DEFAULT_NEW_TOKENS = 16
"""OpenAI's default on this route."""
MAX_PROMPTS = 16
"""Each of them takes a place in the engine."""

SHARED_FIELDS = ("n", "logit_bias", "frequency_penalty", "presence_penalty")
UNSERVED: dict[str, tuple[Any, ...]] = {
    **{name: NEUTRAL[name] for name in SHARED_FIELDS},
    "best_of": (None, 1),
    "logprobs": (None,),
    "suffix": (None, ""),
}
"""As `NEUTRAL` for chat. `logprobs` 0 asks for one of each token, and is refused like any other."""


def _as_list(prompt: Any) -> Any:
    return [prompt] if isinstance(prompt, str) else prompt


def _one_or_many(schema: dict[str, Any]) -> None:
    """Says in the API document that one text may stand for a list of one."""
    many = {name: schema.pop(name) for name in ("type", "items", "minItems", "maxItems")}
    schema["anyOf"] = [{"type": "string", "minLength": 1}, many]


class CompletionBody(TextBody):
    """POST /v1/completions."""

    prompt: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list)] = Field(
        min_length=1, max_length=MAX_PROMPTS, json_schema_extra=_one_or_many
    )
    echo: bool | None = Field(None, description="Begin each answer with its prompt.")


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
    sampling = sampling_of(parsed, parsed.max_tokens or DEFAULT_NEW_TOKENS)
    calls = tuple(
        ChatCall(
            parsed.model,
            (Turn("user", prompt),),
            sampling,
            raw=True,
            echo=bool(parsed.echo),
            field="prompt",
        )
        for prompt in parsed.prompt
    )
    return CompletionRequest(calls, parsed.model, bool(parsed.stream), parsed.include_usage)
