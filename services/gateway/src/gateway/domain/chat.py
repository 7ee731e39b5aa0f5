"""A request for text, and what its answers are made of: plain facts without a transport."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

MAX_ANSWERS = 16
"""Answers of one request; each of them takes a place in the engine."""
MAX_ALTERNATIVES = 20
"""Tokens that could have stood in a place, beside the one that does."""
MAX_PENALTY = 2.0


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Constraint:
    """The form that an answer must have: a JSON schema, an expression, or one of some texts."""

    kind: Literal["json_schema", "regex", "choice"]
    text: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How to sample and when to stop.

    `max_tokens` 0 is what the context leaves; `temperature` 0 is greedy; `top_k` 0 is all; `seed`
    None is random; `logprobs` is how many alternatives of each token are to be named, if any.
    """

    max_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True)
class ChatCall:
    """What a caller wants answered.

    `raw` means that the only turn is text to be continued as it is, without a chat template;
    `echo`, that the answer begins with it. `field` is where the caller wrote the text. Of several
    `answers` each has its own seed and its own end.
    """

    model: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    raw: bool = False
    echo: bool = False
    field: str = "messages"
    answers: int = 1

    @property
    def operation(self) -> str:
        """What is asked for, in the words of OpenTelemetry's conventions."""
        return "text_completion" if self.raw else "chat"

    def with_contents(self, contents: tuple[str, ...]) -> "ChatCall":
        """The same call with the text of each turn replaced, in order."""
        pairs = zip(self.turns, contents, strict=True)
        return replace(self, turns=tuple(replace(turn, content=text) for turn, text in pairs))


@dataclass(frozen=True)
class Usage:
    """Tokens as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class End:
    """How an answer ended: stop, length, content_filter, cancelled or error.

    `usage` is None when the engine was stopped before it told.
    """

    finish_reason: str
    usage: Usage | None = None


class TokenLogprob(NamedTuple):
    """A token of the answer, the natural logarithm of its probability, and what it stood before."""

    token: bytes
    logprob: float
    alternatives: tuple[tuple[bytes, float], ...] = ()


class Piece(NamedTuple):
    """What is new of one of the answers, counted from 0; `end` is set on its last piece.

    From the engine as it said it; from the guard as it may be shown.
    """

    text: str
    end: End | None = None
    answer: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
