"""A request for text, and what its answers are made of: plain facts without a transport."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

MAX_ANSWERS = 16
"""Answers of one request; each of them takes a place in the engine."""
MAX_ALTERNATIVES = 20
"""Tokens that could have stood in a place, beside the one that does."""
MAX_PENALTY = 2.0


class ToolCall(NamedTuple):
    """The assistant asks for a function to be run; `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Tool:
    """A function that the assistant may call; `parameters` is a JSON schema as text."""

    name: str
    description: str = ""
    parameters: str = ""


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; `role` is system, user, assistant or tool.

    An assistant's turn may have made `calls`; a tool's turn answers the one of `tool_call_id`.
    """

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True)
class Constraint:
    """The form that an answer must have: a JSON schema, an expression, or one of some texts."""

    kind: Literal["json_schema", "regex", "choice"]
    text: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters and stop conditions.

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
class Moderated:
    """Verdicts are wanted beside the answer; a side that `blocks` stops at whatever a rule matches.

    What the policy itself blocks stays blocked without it.
    """

    blocks_input: bool = False
    blocks_output: bool = False


@dataclass(frozen=True)
class ChatCall:
    """Chat request of a caller.

    `raw` means that the only turn is text to be continued as it is, without a chat template;
    `echo`, that the answer begins with it. `field` is where the caller wrote the text. Of several
    `answers` each has its own seed and its own end. `tool_choice` is auto, none, required, or the
    name of the tool that must be called.
    """

    model: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    raw: bool = False
    echo: bool = False
    field: str = "messages"
    answers: int = 1
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    moderation: Moderated | None = None
    user: str = ""
    """The caller's own user, as far as it says so."""

    @property
    def beside_contents(self) -> list[str]:
        """What the model is told beside the turns' contents: tools, and calls that were made."""
        made = [call for turn in self.turns for call in turn.calls]
        called = [(call.id, call.name, *spoken_texts(call.arguments)) for call in made]
        tools = [(it.name, it.description, *spoken_texts(it.parameters)) for it in self.tools]
        # Templates write the ids of calls, which callers choose.
        answered = dict.fromkeys(turn.tool_call_id for turn in self.turns)
        return [text for texts in (*called, *tools, answered) for text in texts if text]

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
    accepted_prediction_tokens: int = 0
    """Of the completion's, those that were drafted."""


@dataclass(frozen=True)
class CascadePath:
    """Which of a cascade's two models answered, and what that saved or cost in tokens.

    `escalated` means the large one; `threshold` is what the small one's confidence had to reach.
    """

    version_id: str
    escalated: bool
    confidence: float
    threshold: float
    spared_tokens: int
    extra_tokens: int


@dataclass(frozen=True)
class End:
    """How an answer ended: stop, length, content_filter, cancelled or error.

    `usage` is None when the engine was stopped before it told, and so is `cascade`, which is also
    None when no cascade was asked. `stop_text` is the caller's that ended it, if one did.
    """

    finish_reason: str
    usage: Usage | None = None
    cascade: CascadePath | None = None
    stop_text: str = ""


class TokenLogprob(NamedTuple):
    """A token of the answer, the natural logarithm of its probability, and what it stood before."""

    token: bytes
    logprob: float
    alternatives: tuple[tuple[bytes, float], ...] = ()


class Piece(NamedTuple):
    """Delta of one of the answers, counted from 0; `end` is set on its last piece.

    The request's first piece names the version that answers, which variant of an alias it is, and
    may tell the prompt's tokens; `tokens` are those of this answer by now, where an engine counts.

    From the engine as it said it; from the guard as it may be shown.
    """

    text: str
    end: End | None = None
    answer: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    version_id: str = ""
    variant: str = ""
    prompt_tokens: int = 0
    tokens: int = 0

    def tokens_by_now(self, before: int) -> int:
        """Tokens of its answer with it; `before` are those until it came.

        As the engine told; where it does not count as it goes, a piece of text is one or more.
        """
        if self.end is not None and self.end.usage is not None:
            return self.end.usage.completion_tokens
        return self.tokens or before + bool(self.text)


@dataclass(frozen=True)
class CountedPrompt:
    """How long a prompt is, and by which version's tokenizer; `variant` is an alias's, if any."""

    version_id: str
    tokens: int
    variant: str = ""


@dataclass(frozen=True)
class Embedded:
    """A vector for each text, as the bytes of little-endian floats, and what they cost.

    `policy_digest` is of the policy that the texts passed, `headers` what else a caller over HTTP
    hears; `variant` is an alias's, if any.
    """

    version_id: str
    vectors: tuple[bytes, ...]
    tokens: int
    variant: str = ""
    policy_digest: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def spoken_texts(document: str) -> list[str]:
    """All that a JSON text says, without the escapes in which it may hide it; as it is if none."""
    if not document:
        return []
    try:
        return list(_spoken(read_json(document, parse_float=str)))
    except (ValueError, RecursionError):
        return [document]


def read_json(document: str, parse_float: Callable[[str], Any] = float) -> Any:
    """A JSON text with all that it says: what stands under a repeated key is kept.

    Raises:
        ValueError, RecursionError: it is none.
    """
    return json.loads(document, object_pairs_hook=_all_pairs, parse_float=parse_float)


def _all_pairs(pairs: list[tuple[str, Any]]) -> Any:
    """The object; several of one key each where a key is repeated."""
    value = dict(pairs)
    return value if len(value) == len(pairs) else [{key: inner} for key, inner in pairs]


def _spoken(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _spoken(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _spoken(inner)
    else:
        yield str(value)
