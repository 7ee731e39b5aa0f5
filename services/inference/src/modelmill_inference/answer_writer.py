"""Converts the tokens of one answer to the parts that a caller receives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelmill_tokenization.text_stream import TextStream
from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.call_format import call_format_of
from modelmill_inference.domain.cascade import CascadeOutcome
from modelmill_inference.domain.generation import AnswerReason, ChosenToken, TokenPiece
from modelmill_inference.domain.tool_calls import ParsedToolCall, ToolCallParser


class StopScanner:
    """Passes text up to the first stop text.

    The result does not depend on how the text is split: the stop text that is complete first
    counts, and the longest of several that end at the same position.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped_by = ""
        """The stop text that was found; no more text follows."""

    def push(self, text: str) -> str:
        """Text that cannot be part of a stop text any more."""
        if self.stopped_by:
            return ""
        text = self._held + text
        found = [(text.find(stop), stop) for stop in self._stops]
        ends = [(start + len(stop), start, stop) for start, stop in found if start >= 0]
        if ends:
            _, start, self.stopped_by = min(ends)
            self._held = ""
            return text[:start]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        out, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return out

    def flush(self) -> str:
        """Text that was buffered for a stop text that did not follow."""
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Length of the longest suffix of `text` that is a proper prefix of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


class AnswerText:
    """Decodes the text of one answer from a stream of token ids.

    Args:
        shown: text of special tokens that are not left out.
    """

    def __init__(
        self,
        tokenizer: TokenDecoder,
        stops: Sequence[str],
        shown: Mapping[int, str] | None = None,
    ) -> None:
        self._stream = TextStream(tokenizer, shown)
        self._scanner = StopScanner(stops)

    @property
    def stopped(self) -> bool:
        """A stop text was found: the answer has ended, whatever the engine still generates."""
        return bool(self._scanner.stopped_by)

    @property
    def stopped_by(self) -> str:
        """The stop text that was found; empty for none."""
        return self._scanner.stopped_by

    def push(self, ids: Sequence[int]) -> str:
        """Text that is final after `ids`."""
        return self._scanner.push(self._stream.push(ids))

    def finish(self) -> str:
        """The buffered rest, after the last id."""
        return self._scanner.push(self._stream.finish()) + self._scanner.flush()


@dataclass(frozen=True, slots=True)
class TokenProbability:
    """A generated token with its log-probability."""

    token: bytes
    logprob: float
    alternatives: tuple[tuple[bytes, float], ...]
    """The most likely tokens at this position, in order."""


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """Finish reason and usage of an answer."""

    finish_reason: AnswerReason
    prompt_tokens: int
    completion_tokens: int
    version_id: str
    first_token_seconds: float
    exact: bool
    stop_text: str = ""
    """The stop text that ended it; empty for none."""
    cascade: CascadeOutcome | None = None
    """Set when a cascade answered."""
    accepted_tokens: int = 0
    """Of the completion's, those that were drafted."""


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """New text; the last part of an answer has `end`."""

    text: str
    end: AnswerEnd | None = None
    index: int = 0
    """Index of the answer."""
    logprobs: tuple[TokenProbability, ...] = ()
    calls: tuple[ParsedToolCall, ...] = ()
    """Complete tool calls."""
    version_id: str = ""
    """Version that generates."""
    prompt_tokens: int = 0
    """Length of the prompt."""
    tokens: int = 0
    """Tokens generated so far, of this answer."""


@dataclass(frozen=True, slots=True)
class WrittenPiece:
    """Result of one piece of tokens."""

    text: str
    tokens: int
    finish_reason: AnswerReason | None
    logprobs: tuple[TokenProbability, ...]
    calls: tuple[ParsedToolCall, ...]


class AnswerWriter:
    """Emits whole characters, without special tokens, stop texts and anything after them.

    Args:
        offered: names of functions, whose calls are separated from text.
        frame: text before and after an answer that is a forced call.
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
        call_format = call_format_of(tokenizer, must_call=any(frame)) if offered else None
        if call_format is not None:
            marks = call_format.marks
            self._parser = ToolCallParser(call_format.form, marks, frozenset(offered))
            shown = marks.by_id
            self._parser.push(marks.mark(frame[0]))
            self._behind = marks.mark(frame[1])
        self._text = AnswerText(tokenizer, stops, shown)
        self._has_called = False

    @property
    def stop_text(self) -> str:
        """The stop text that ended the answer; empty for none."""
        return self._text.stopped_by

    def write(self, piece: TokenPiece) -> WrittenPiece:
        """Text that is final after this piece, and whether the answer has ended."""
        text = self._text.push(piece.tokens)
        reason: AnswerReason | None = piece.finish_reason
        if reason is not None and not self._text.stopped:
            text += self._text.finish()
        if self._text.stopped:
            reason = "stop"
        calls: tuple[ParsedToolCall, ...] = ()
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

    def _logprob(self, token: int, chosen: ChosenToken) -> TokenProbability:
        name = self._tokenizer.token_bytes
        alternatives = tuple((name(it.token), it.logprob) for it in chosen.alternatives)
        return TokenProbability(name(token), chosen.logprob, alternatives)


def _parted(
    parser: ToolCallParser, text: str, *, ended: bool
) -> tuple[str, tuple[ParsedToolCall, ...]]:
    parsed = parser.push(text)
    if not ended:
        return parsed.text, tuple(parsed.calls)
    rest = parser.finish()
    return parsed.text + rest.text, (*parsed.calls, *rest.calls)
