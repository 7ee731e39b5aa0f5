"""From the tokens of one answer to the parts that a caller is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelmill_tokenization.text_stream import TextStream
from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.call_writing import call_writing
from modelmill_inference.domain.cascade import CascadePath
from modelmill_inference.domain.generation import AnswerReason, ChosenToken, TokenPiece
from modelmill_inference.domain.tool_calls import ToolCall, ToolCallParser


class StopScanner:
    """Lets text through up to the first stop text, which it swallows.

    What it lets out does not depend on how the text is cut: the stop text that is complete first
    wins, and of those complete at one place the longest.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped_by = ""
        """The stop text that was found; nothing comes out any more."""

    def push(self, text: str) -> str:
        """The part of the text so far that no stop text can claim any more."""
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
        """What was held back for a stop text that did not come."""
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop`, still incomplete, begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


class AnswerText:
    """The text of one generation, while its ids come in.

    Args:
        shown: special tokens that are not left out, and what stands for them.
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
        """A stop text was found: the generation is over, whatever the engine still has."""
        return bool(self._scanner.stopped_by)

    @property
    def stopped_by(self) -> str:
        """That stop text; empty as long as none was found."""
        return self._scanner.stopped_by

    def push(self, ids: Sequence[int]) -> str:
        """The text that became certain with `ids`."""
        return self._scanner.push(self._stream.push(ids))

    def finish(self) -> str:
        """What was kept back, once no more ids come."""
        return self._scanner.push(self._stream.finish()) + self._scanner.flush()


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
