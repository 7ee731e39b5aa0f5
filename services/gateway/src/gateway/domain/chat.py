"""A request for text, and how its answer ended: plain facts without a transport."""

from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Sampling:
    """How to sample and when to stop.

    `max_tokens` 0 is what the context leaves; `temperature` 0 is greedy; `seed` None is random.
    """

    max_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class ChatCall:
    """What a caller wants answered.

    `raw` means that the only turn is text to be continued as it is, without a chat template;
    `echo`, that the answer begins with it. `field` is where the caller wrote the text.
    """

    model: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    raw: bool = False
    echo: bool = False
    field: str = "messages"

    @property
    def operation(self) -> str:
        """What is asked for, in the words of OpenTelemetry's conventions."""
        return "text_completion" if self.raw else "chat"

    def with_contents(self, contents: tuple[str, ...]) -> "ChatCall":
        """The same call with the text of each turn replaced, in order."""
        pairs = zip(self.turns, contents, strict=True)
        return replace(self, turns=tuple(Turn(turn.role, text) for turn, text in pairs))


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


class Piece(NamedTuple):
    """New text from the engine; `end` is set on the last piece."""

    text: str
    end: End | None
