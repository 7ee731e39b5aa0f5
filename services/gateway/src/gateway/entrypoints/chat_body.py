"""Bodies of the routes that generate text, as OpenAI's clients and ours send them."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from service_kit.errors import InvalidInputError

from gateway.domain.chat import ChatCall, Sampling, Turn
from gateway.domain.errors import BadRequestError
from gateway.entrypoints.bodies import OpenBody, StrictBody, parse_body

MAX_NEW_TOKENS = 2**31 - 1
MAX_STOPS = 4
MAX_STOP_CHARS = 256
LEAST_TEMPERATURE = 0.001
LEAST_TOP_P = 1e-6
"""Below these the likeliest token is as good as certain, and the engine refuses to sample."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "web_search_options": (None,),
}
"""Fields of OpenAI's that would change the answer and are not served, with the values that would
not. Anything else is refused by name; fields that are in neither list are ignored."""


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


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class MessageBody(OpenBody):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_plain_text)]
    tool_calls: None = None
    function_call: None = None


class StreamOptions(OpenBody):
    """How a stream is sent."""

    include_usage: bool | None = None


class ChatBody(OpenBody):
    """POST /v1/chat/completions."""

    model: str = Field(min_length=1, max_length=256)
    messages: list[MessageBody] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS)
    max_completion_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    stop: Annotated[list[Annotated[str, Field(min_length=1)]] | None, BeforeValidator(_as_list)] = (
        Field(None, max_length=MAX_STOPS)
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)


class GenerateBody(StrictBody):
    """POST /generate."""

    prompt: str = Field(min_length=1)
    max_length: int = Field(50, ge=1, le=MAX_NEW_TOKENS, description="New tokens at most.")
    model: str | None = Field(None, min_length=1, max_length=256)
    temperature: float = Field(0.0, ge=0, le=2, description="0 takes the likeliest token.")


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
    try:
        parsed = parse_body(body, ChatBody)
    except BadRequestError:
        raise
    except InvalidInputError as error:
        raise BadRequestError(error.errors, param=error.errors[0].partition(":")[0]) from None
    _refuse_unserved(parsed)
    wants_usage = parsed.stream_options is not None and bool(parsed.stream_options.include_usage)
    return ChatRequest(_call(parsed), bool(parsed.stream), wants_usage)


def parse_generate(body: bytes, default_model: str) -> ChatCall:
    """The request in a body of /generate: text to be continued as it is.

    Raises:
        BadRequestError: not JSON.
        InvalidInputError: JSON of another shape; lists every error.
    """
    parsed = parse_body(body, GenerateBody)
    temperature = 0.0 if parsed.temperature < LEAST_TEMPERATURE else parsed.temperature
    sampling = Sampling(max_tokens=parsed.max_length, temperature=temperature)
    turn = Turn("user", parsed.prompt)
    return ChatCall(parsed.model or default_model, (turn,), sampling, raw=True)


def _refuse_unserved(parsed: ChatBody) -> None:
    extra = parsed.model_extra or {}
    wrong = [f for f, neutral in NEUTRAL.items() if extra.get(f) not in neutral]
    if wrong:
        errors = [f"{field}: this value is not supported" for field in wrong]
        raise BadRequestError(errors, param=wrong[0], code="unsupported_parameter")
    if parsed.stream_options is not None and not parsed.stream:
        raise BadRequestError("stream_options: only with stream", param="stream_options")


def _call(parsed: ChatBody) -> ChatCall:
    turns = tuple(
        Turn("system" if message.role == "developer" else message.role, message.content)
        for message in parsed.messages
    )
    temperature = 1.0 if parsed.temperature is None else parsed.temperature
    top_p = 1.0 if parsed.top_p is None else parsed.top_p
    if temperature < LEAST_TEMPERATURE or top_p < LEAST_TOP_P:
        temperature, top_p = 0.0, 1.0
    sampling = Sampling(
        max_tokens=parsed.max_completion_tokens or parsed.max_tokens or 0,
        temperature=temperature,
        top_p=top_p,
        stop=tuple(parsed.stop or ()),
        seed=parsed.seed,
    )
    return ChatCall(parsed.model, turns, sampling)
