"""From the tokens of one answer to the parts that a caller is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.answer_text import AnswerText
from modelmill_inference.domain.call_writing import call_writing
from modelmill_inference.domain.cascade import CascadePath
from modelmill_inference.domain.generation import AnswerReason, ChosenToken, TokenPiece
from modelmill_inference.domain.tool_calls import ToolCall, ToolCallParser


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token and how likely it was."""

    token: bytes
    logprob: float
    alternatives: tuple[tuple[bytes, float], ...]
    """The likeliest at its place, likeliest first."""


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """How a generation ended and what it cost."""

    finish_reason: AnswerReason
    prompt_tokens: int
    completion_tokens: int
    version_id: str
    first_token_seconds: float
    exact: bool
    stop_text: str = ""
    """The stop text that ended it, if one did."""
    cascade: CascadePath | None = None
    """Set when a cascade answered."""


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """New text; the last part of an answer carries its end."""

    text: str
    end: AnswerEnd | None = None
    index: int = 0
    """Which of the answers it belongs to."""
    logprobs: tuple[TokenLogprob, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    """Calls that became complete."""
    version_id: str = ""
    """Version that answers."""
    prompt_tokens: int = 0
    """Of the prompt that it answers."""
    tokens: int = 0
    """Of this answer, generated so far."""


@dataclass(frozen=True, slots=True)
class WrittenPiece:
    """What became of a piece of tokens."""

    text: str
    tokens: int
    finish_reason: AnswerReason | None
    logprobs: tuple[TokenLogprob, ...]
    calls: tuple[ToolCall, ...]


class AnswerWriter:
    """Whole characters, no special tokens, nothing of a stop text and nothing behind it.

    Args:
        offered: names of functions; their calls are told apart from text.
        frame: what stands before and behind an answer that is a demanded call.
    """

    def __init__(
        self,
        tokenizer: TokenDecoder,
        stops: Sequence[str],
        offered: Sequence[str] = (),
        frame: tuple[str, str] = ("", ""),
    ) -> None:
        self._tokenizer = tokenizer
        self._parser: ToolCallParser | None = None
        self._behind = ""
        shown: Mapping[int, str] = {}
        writing = call_writing(tokenizer, must_call=any(frame)) if offered else None
        if writing is not None:
            marks = writing.marks
            self._parser = ToolCallParser(writing.form, marks, frozenset(offered))
            shown = marks.by_id
            self._parser.push(marks.mark(frame[0]))
            self._behind = marks.mark(frame[1])
        self._text = AnswerText(tokenizer, stops, shown)
        self._has_called = False

    @property
    def stop_text(self) -> str:
        """The stop text that ended the answer, if one did."""
        return self._text.stopped_by

    def write(self, piece: TokenPiece) -> WrittenPiece:
        """The text that became certain, and whether the answer is over by it."""
        text = self._text.push(piece.tokens)
        reason: AnswerReason | None = piece.finish_reason
        if reason is not None and not self._text.stopped:
            text += self._text.finish()
        if self._text.stopped:
            reason = "stop"
        calls: tuple[ToolCall, ...] = ()
        if self._parser is not None:
            if reason == "stop":
                text += self._behind
            text, calls = _parted(self._parser, text, ended=reason is not None)
            self._has_called |= bool(calls)
        if reason == "stop" and self._has_called:
            reason = "tool_calls"
        special = self._tokenizer.special_ids
        logprobs = tuple(
            self._logprob(token, chosen)
            for token, chosen in zip(piece.tokens, piece.chosen, strict=False)
            if token not in special
        )
        return WrittenPiece(text, len(piece.tokens), reason, logprobs, calls)

    def _logprob(self, token: int, chosen: ChosenToken) -> TokenLogprob:
        name = self._tokenizer.token_bytes
        alternatives = tuple((name(it.token), it.logprob) for it in chosen.alternatives)
        return TokenLogprob(name(token), chosen.logprob, alternatives)


def _parted(parser: ToolCallParser, text: str, *, ended: bool) -> tuple[str, tuple[ToolCall, ...]]:
    parsed = parser.push(text)
    if not ended:
        return parsed.text, tuple(parsed.calls)
    rest = parser.finish()
    return parsed.text + rest.text, (*parsed.calls, *rest.calls)
