"""From the tokens of one answer to the parts that a caller is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenization.chat_tokenizer import ChatTokenizer

from inference.domain.answer_text import AnswerText
from inference.domain.cascade import CascadePath
from inference.domain.generation import ChosenToken, FinishReason, TokenPiece


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

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    version_id: str
    first_token_seconds: float
    exact: bool
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


@dataclass(frozen=True, slots=True)
class WrittenPiece:
    """What became of a piece of tokens."""

    text: str
    tokens: int
    finish_reason: FinishReason | None
    logprobs: tuple[TokenLogprob, ...]


class AnswerWriter:
    """Whole characters, no special tokens, nothing of a stop text and nothing behind it."""

    def __init__(self, tokenizer: ChatTokenizer, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._text = AnswerText(tokenizer, stops)

    def write(self, piece: TokenPiece) -> WrittenPiece:
        """The text that became certain, and whether the answer is over by it."""
        text = self._text.push(piece.tokens)
        reason = piece.finish_reason
        if reason is not None and not self._text.stopped:
            text += self._text.finish()
        if self._text.stopped:
            reason = "stop"
        logprobs = tuple(map(self._logprob, piece.tokens, piece.chosen))
        return WrittenPiece(text, len(piece.tokens), reason, logprobs)

    def _logprob(self, token: int, chosen: ChosenToken) -> TokenLogprob:
        name = self._tokenizer.token_bytes
        alternatives = tuple((name(it.token), it.logprob) for it in chosen.alternatives)
        return TokenLogprob(name(token), chosen.logprob, alternatives)
